"""The difference of two leaderboards as a Markdown comment for a pull request, and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from reports.metrics import better, metric
from reports.recorded import Board, RecordedRow
from reports.regression import Change, Diff, Outcome
from reports.settings import ABSENT, setting
from reports.standing import signed
from reports.statistics import LEVEL
from reports.tables import grid
from reports.text import code, markdown

MARK = "<!-- benchmark:diff -->"
"""By which a bot finds its earlier comment."""
SIGNS: dict[Outcome, str] = {
    "regressed": "❌ **regressed**", "missing": "❌ **missing**", "not compared": "❌ **not compared**",
    "improved": "✅ improved", "tolerated": "⚠ worse, within the tolerance",
    "no difference shown": "no difference shown", "same runs": "the same runs", "new": "new",
}  # fmt: skip
LONGEST = 65_000
"""Characters; GitHub takes no comment of more than 65,536."""
ROWS = (200, 100, 50, 20)
"""In all: the first number of them with which the comment is not too long."""
NOTES = 20
"""Sentences about single configurations."""
QUIET: tuple[Outcome, ...] = ("no difference shown", "same runs", "new")
OPEN = 20
"""Rows of nothing to do beyond which they are folded."""
LABEL, WHY = 60, 120
"""Characters of a name, and of a reason."""


def page(found: Diff) -> str:
    """The comment."""
    for rows in ROWS:
        if len(text := _page(found, rows)) <= LONGEST:
            break
    return text


def _page(found: Diff, rows: int) -> str:
    shown = found.changes[:rows]
    loud = [each for each in shown if each.outcome not in QUIET]
    quiet = [each for each in shown if each.outcome in QUIET]
    blocks = [MARK, f"### {_title(found)}", _counts(found)]
    if len(quiet) > OPEN:
        blocks += [_table(found, loud)] if loud else []
        blocks += [f"<details><summary>{len(quiet)} others</summary>", _table(found, quiet), "</details>"]
    else:
        blocks.append(_table(found, shown))
    if len(found.changes) > rows:
        blocks.append(f"and {len(found.changes) - rows:,} more configurations.")
    return "\n\n".join([*blocks, " ".join(_notes(found))]) + "\n"


def document(found: Diff) -> dict[str, Any]:
    """For programs."""
    return {
        "metric": found.metric,
        "tolerance": found.tolerance,
        "failing": len(found.failing),
        "baseline": _board(found.baseline),
        "new": _board(found.new),
        "changes": [_document(each, found.metric) for each in found.changes],
    }


def _title(found: Diff) -> str:
    return f"{markdown(found.new.experiment, LABEL)} against the baseline"


def _counts(found: Diff) -> str:
    counts = Counter(each.outcome for each in found.changes)
    words = [f"{n} {name}" for name in SIGNS if (n := counts[name])]
    failed = bool(found.failing)
    return f"{'**' if failed else ''}{', '.join(words)}{'**' if failed else ''} · {_of(found)}"


def _of(found: Diff) -> str:
    known = metric(found.metric)
    arrow = "↑" if better(found.metric) == "higher" else "↓"
    data = ", ".join(f"{markdown(each.label, LABEL)} ({each.digest[:8]})" for each in found.new.data)
    commits = dict.fromkeys(markdown(each.commit, 20) for each in (found.baseline, found.new) if each.commit)
    told = [f"commit{'s' * (len(commits) > 1)} {' → '.join(commits)}"] if commits else []
    return " · ".join([f"{known.words} {arrow}{' in %' if known.points else ''}", data, *told])


def _table(found: Diff, changes: Sequence[Change]) -> str:
    several = len({row.data for row in (*found.baseline.rows, *found.new.rows)}) > 1
    head = [*(["data"] if several else []), "configuration", "baseline", "new", "difference", "verdict"]
    align = [*([":--"] if several else []), ":--", "--:", "--:", "--:", ":--"]
    return grid(head, align, (_line(found, each, several) for each in changes))


def _line(found: Diff, each: Change, several: bool) -> list[str]:
    why = f": {markdown(each.why, WHY)}" if each.why else ""
    cells = [markdown(each.label, LABEL), _mean(each.before, found.metric), _mean(each.now, found.metric)]
    data = [markdown(each.data, LABEL)] if several else []
    return [*data, *cells, _difference(each, found.metric), f"{SIGNS[each.outcome]}{why}"]


def _mean(row: RecordedRow | None, name: str) -> str:
    """``93.4 ± 0.1``; fewer seeds than planned are told."""
    told = row.metrics.get(name) if row else None
    if row is None or told is None or told.mean is None:
        return ABSENT
    write = metric(name).write
    text = write(told.mean) + (f" ± {write(told.sd)}" if told.sd is not None else "")
    few = f" ⚠ {row.n_seeds}/{row.planned_seeds} seeds" if row.n_seeds < row.planned_seeds else ""
    return markdown(text) + few


def _difference(each: Change, name: str) -> str:
    if each.difference is None or each.low is None or each.high is None:
        return ABSENT
    value, low, high = (signed(number, name) for number in (each.difference, each.low, each.high))
    return f"{value} ({low} to {high})"


def _notes(found: Diff) -> Iterator[str]:
    tests = Counter(each.test for each in found.changes if each.test)
    n = sum(tests.values())
    if tests:
        named = ", ".join(f"{test}{f' ({count})' if len(tests) > 1 else ''}" for test, count in tests.items())
        yield f"Differences are new less baseline with 95% intervals; told apart where p < {LEVEL:g}"
        yield f"({named}{f'; Holm over {n} configurations' if n > 1 else ''})."
    if found.tolerance:
        yield f"Tolerated: {metric(found.metric).write(found.tolerance)}{metric(found.metric).unit}."
    if any("unpaired" in test for test in tests):
        yield "Unpaired tests are cautious: with the run directories, smaller differences would be told."
    single = [c for c in found.changes if c.test and c.before and c.now and c.before.n_seeds == c.now.n_seeds == 1]
    if single:
        yield "With one seed on each side, a difference may be the seed's: train several to judge a change of the code."
    yield from _changed(found)


def _changed(found: Diff) -> Iterator[str]:
    """What differs between rows that were matched by their label; what is the same of several is said once."""
    labels: dict[str, list[str]] = {}
    for each in found.changes:
        if changed := _settings(each):
            labels.setdefault(changed, []).append(each.label)
    for changed, named in list(labels.items())[:NOTES]:
        who = markdown(named[0], LABEL) if len(named) == 1 else f"{len(named):,} configurations"
        yield f"{who}: {changed}."
    if len(labels) > NOTES:
        yield f"And {len(labels) - NOTES:,} more changes of settings."


def _settings(each: Change) -> str:
    """What differs between two rows that were matched by their label."""
    if each.before is None or each.now is None or each.before.configuration_id == each.now.configuration_id:
        return ""
    before, now = each.before.hyperparameters, each.now.hyperparameters
    keys = [key for key in dict.fromkeys([*before, *now]) if before.get(key) != now.get(key)]
    pairs = [f"{setting(key, before.get(key))} then, {setting(key, now.get(key))} now" for key in keys[:5]]
    return code("; ".join(pairs)) if pairs else "data, weights or training program have changed"


def _board(board: Board) -> dict[str, Any]:
    return {"experiment": board.experiment, "commit": board.commit, "configurations": len(board.rows)}


def _document(each: Change, name: str) -> dict[str, Any]:
    words = {key: getattr(each, key) for key in ("label", "data", "outcome", "why", "test")}
    rows = {"baseline": _row(each.before, name), "new": _row(each.now, name)}
    return {**words, **rows, **{key: getattr(each, key) for key in ("difference", "low", "high", "adjusted")}}


def _row(row: RecordedRow | None, name: str) -> dict[str, Any] | None:
    if row is None:
        return None
    told = row.metrics.get(name)
    return {"configuration_id": row.configuration_id, "n_seeds": row.n_seeds, "mean": told.mean if told else None}
