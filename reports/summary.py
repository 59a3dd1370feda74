"""The leaderboard in a few sentences: what was run, what is best, what is nearly as good for less."""

from __future__ import annotations

from collections import Counter

from reports import standing
from reports.exhibit import Exhibit
from reports.leaderboard import Leaderboard, Row, Table
from reports.metrics import better, metric
from reports.settings import ABSENT
from reports.text import markdown
from reports.tradeoffs import measured_on

NEAR = 0.01
"""One point: rows this close to the best may be preferred for their speed."""
_SPEEDS = {
    "speed/latency_ms_p50": ("Fastest", "faster", "ms an image"),
    "cost/train_seconds": ("Fastest to train", "faster", "s"),
    "cost/usd": ("Cheapest", "cheaper", "a run"),
}


def headline(leaderboard: Leaderboard) -> str:
    """One line: runs, configurations, data, ranking, time, cost."""
    header = leaderboard.header
    data = [_data(table, header.primary) for table in leaderboard.tables]
    primary = metric(header.primary)
    arrow = "↑" if better(header.primary) == "higher" else "↓"
    parts = [_runs(leaderboard), _configurations(leaderboard), *data, f"ranked by {primary.words} {arrow}"]
    return " · ".join([*parts, *_time(leaderboard), *_cost(leaderboard)])


def best(shown: Exhibit) -> str:
    """**Best**, what is tied with it, and the fastest and cheapest within one point, in Markdown; an empty text where
    nothing is ranked."""
    ranked, primary = shown.table.ranked, shown.primary
    if not ranked:
        return ""
    first = [row for row in ranked if row.rank == 1]
    names = " and ".join(markdown(row.label) for row in first)
    equal = ", exactly equal" if len(first) > 1 else ""
    sentence = f"**Best:** {names}{equal}: {value(first[0], primary)}{metric(primary).unit} {metric(primary).words}."
    return " ".join([sentence, *_tied(shown), *_fastest(ranked, primary)])


def _tied(shown: Exhibit) -> list[str]:
    """Which rows cannot be told from the best, and what would tell the nearest of them."""
    rows = [row for row in standing.tied(shown) if row.rank != 1]
    if not shown.study.versus:
        return []
    if not rows:
        return ["**Tied with it:** none."] if len(shown.table.ranked) > 1 else []
    few, more = rows[: standing.FEW], len(rows) - standing.FEW
    names = "; ".join(markdown(row.label) for row in few) + (f"; and {more} more" if more > 0 else "")
    hint = standing.remedy(shown.study.versus[few[0].configuration_id])
    return [f"**Tied with it:** {names}{f' ({hint})' if hint and len(rows) == 1 else ''}."]


def value(row: Row, name: str, *, spread: bool = True) -> str:
    """A mean, with ± the standard deviation where there is one, in Markdown; ``–`` where nothing was
    recorded, and what the metric says of a mean that is not known."""
    found, known = row.metrics.get(name), metric(name)
    if found is None or found.mean is None:
        return known.missing if found else ABSENT
    text = known.write(found.mean)
    return markdown(f"{text} ± {known.write(found.sd)}" if spread and found.sd is not None else text)


def _runs(leaderboard: Leaderboard) -> str:
    counts, total = leaderboard.counts, len(leaderboard.entries)
    noun = "run" if total == 1 else "runs"
    if counts["done"] == total:
        return f"{total} {noun}{', all done' if total > 1 else ''}"
    kinds = Counter(each.kind for each in leaderboard.not_ranked if each.entry.status == "failed")
    failed = ", ".join(f"{n} {kind}" if len(kinds) > 1 else kind for kind, n in sorted(kinds.items()))
    parts = [f"{counts['done']} done"]
    parts += [f"{counts['failed']} failed ({failed})"] if counts["failed"] else []
    parts += [f"{counts['pruned']} stopped early by the search"] if counts["pruned"] else []
    parts += [f"{counts['pending']} pending"] if counts["pending"] else []
    return f"{total} {noun}: {', '.join(parts)}"


def _configurations(leaderboard: Leaderboard) -> str:
    seeds = Counter(entry.run.configuration_id for entry in leaderboard.entries)
    text = f"{len(seeds)} configuration{'s' if len(seeds) != 1 else ''}"
    planned = set(seeds.values())
    if len(planned) != 1:
        return text
    n = planned.pop()
    return f"{text} × {n} seed{'s' if n > 1 else ''}"


def _data(table: Table, primary: str) -> str:
    split = primary.partition("/")[0]
    split = split if split in table.data.sizes else "test"
    size = f", {split} n = {table.data.sizes[split]:,}" if split in table.data.sizes else ""
    return f"{markdown(table.data.label)}{size}"


def _time(leaderboard: Leaderboard) -> list[str]:
    header = leaderboard.header
    if header.started is None or header.finished is None:
        return []
    workers = f" with {header.workers} worker{'s' if header.workers > 1 else ''}" if header.workers else ""
    return [f"{_duration(header.finished - header.started)}{workers}"]


def _cost(leaderboard: Leaderboard) -> list[str]:
    if (spent := leaderboard.spent) is None:
        return []
    return [markdown("; ".join(filter(None, [spent.words, leaderboard.header.prices])))]


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _fastest(ranked: tuple[Row, ...], primary: str) -> list[str]:
    """Which of the rows within one point is the fastest, for each way to be fast that all of them have measured: money
    counts everywhere, time on the best row's machine only."""
    top = ranked[0].mean(primary)
    if not metric(primary).points or top is None:
        return []
    near = [row for row in ranked if abs((row.mean(primary) or 0.0) - top) <= NEAR + 1e-9]
    here = [row for row in near if measured_on(row) == measured_on(near[0])]
    compared = {name: near if name == "cost/usd" else here for name in _SPEEDS}
    sentences = [
        _fastest_by(name, rows, primary)
        for name, rows in compared.items()
        if len(rows) > 1 and all(row.mean(name) for row in rows)
    ]
    return list(dict.fromkeys(sentences))


def _fastest_by(name: str, near: list[Row], primary: str) -> str:
    title, comparison, unit = _SPEEDS[name]
    best, found = near[0], min(near, key=lambda row: row.mean(name) or 0.0)
    if found.rank == 1:
        return f"**{title} within 1 point:** the best itself."
    fast, slow = found.mean(name) or 0.0, best.mean(name) or 0.0
    gap = abs((found.mean(primary) or 0.0) - (best.mean(primary) or 0.0)) * 100
    behind = f"−{gap:.1f}" if gap >= 0.05 else "equal to 0.1"
    times = f"{metric(name).write(fast)} against {metric(name).write(slow)} {unit}"
    return f"**{title} within 1 point:** {markdown(found.label)} ({behind}), {slow / fast:.1f}× {comparison} ({times})."
