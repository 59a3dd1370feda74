"""The changes between two leaderboards as a comment in Markdown, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from reports.kept import Kept
from reports.metrics import ARROWS, better, metric
from reports.regression import BAD, Change, Verdict
from reports.settings import ABSENT
from reports.standing import signed
from reports.statistics import LEVEL
from reports.tables import grid
from reports.text import markdown

_MARKS = {"regressed": "🔴", "improved": "🟢", "missing": "🔴", "not ranked": "🔴"}
_ORDER: tuple[Verdict, ...] = (
    "regressed", "missing", "not ranked", "improved", "no difference shown", "same runs", "new",
)  # fmt: skip


def comment(old: Kept, new: Kept, changes: Sequence[Change], tolerance: float) -> str:
    """For a pull request: the verdict in a line, a table of all configurations, the worst first, how it was found."""
    counts = Counter(each.verdict for each in changes)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _ORDER if counts[verdict])
    head = "**Worse than the baseline.**" if any(each.verdict in BAD for each in changes) else "No regression shown."
    ordered = sorted(changes, key=lambda each: _ORDER.index(each.verdict))
    several = len({each.data for each in changes}) > 1
    known = metric(old.primary)
    titles = ["configuration", "baseline", "new", "difference", "95% interval", "p", "verdict"]
    table = grid(titles, [":--", *["--:"] * 5, ":--"], [_row(each, old.primary, several) for each in ordered])
    lines = [
        f"### {markdown(new.experiment)}: {markdown(known.words)}{ARROWS[better(old.primary)]}",
        f"{head} {told[:1].upper()}{told[1:]}.",
        table,
        _how(changes, known.write(tolerance) if tolerance else ""),
    ]
    return "\n\n".join(lines) + "\n"


def document(old: Kept, new: Kept, changes: Sequence[Change]) -> dict[str, Any]:
    """For programs."""
    return {
        "primary": old.primary,
        "baseline": str(old.path),
        "new": str(new.path),
        "worse": any(each.verdict in BAD for each in changes),
        "changes": [vars(each) for each in changes],
    }


def _row(change: Change, primary: str, several: bool) -> list[str]:
    write = metric(primary).write
    name = f"{change.data}: {change.label}" if several else change.label
    between = ABSENT
    if change.low is not None and change.high is not None:
        between = f"{signed(change.low, primary)} to {signed(change.high, primary)}"
    return [
        markdown(name),
        ABSENT if change.old is None else write(change.old),
        ABSENT if change.new is None else write(change.new),
        ABSENT if change.difference is None else signed(change.difference, primary),
        between,
        ABSENT if change.adjusted is None else _p(change.adjusted),
        f"{_MARKS.get(change.verdict, '')} {change.verdict}".strip(),
    ]


def _p(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}".replace("0.", ".", 1)


def _how(changes: Sequence[Change], tolerance: str) -> str:
    ways = Counter(each.how for each in changes if each.how)
    tested = ", ".join(f"{n} {how}" for how, n in ways.items())
    allowed = f" Up to {tolerance} worse is allowed." if tolerance else ""
    if not tested:
        return f"Nothing had to be tested.{allowed}"
    return (
        f"Tested: {tested}; p after Holm's correction over {sum(ways.values())}, told apart below {LEVEL:g}.{allowed}"
    )
