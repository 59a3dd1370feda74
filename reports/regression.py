"""Is a new leaderboard worse than a baseline?  The same configurations against each other, tested and corrected.

    diff(Source.read(Path("baseline.json")), Source.read(Path("results/tour")), None, 0.0).failing

Each is tested as well as what is left of the two allows (:mod:`reports.retest`), and p-values are Holm's over them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from reports.metrics import better
from reports.recorded import BadLeaderboard, Board, RecordedRow
from reports.retest import Source, retest
from reports.statistics import LEVEL, Difference, holm
from reports.text import one_line

Outcome = Literal[
    "regressed", "missing", "not compared", "improved", "tolerated", "no difference shown", "same runs", "new"
]
FAILING: tuple[Outcome, ...] = ("regressed", "missing", "not compared")
"""What a gate does not let pass."""


@dataclass(frozen=True)
class Change:
    """One configuration: its rows, the new mean less the baseline's with its 95% interval, Holm's adjusted p-value, and
    the test in words; ``why`` says what hinders.  What was not tested has no numbers."""

    label: str
    data: str
    outcome: Outcome
    before: RecordedRow | None = None
    now: RecordedRow | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    adjusted: float | None = None
    test: str = ""
    why: str = ""


@dataclass(frozen=True)
class Diff:
    """``changes`` are in the order of what a reader has to see first."""

    baseline: Board
    new: Board
    metric: str
    tolerance: float
    changes: tuple[Change, ...]

    @property
    def failing(self) -> tuple[Change, ...]:
        return tuple(each for each in self.changes if each.outcome in FAILING)


def diff(baseline: Source, new: Source, metric: str | None, tolerance: float) -> Diff:
    """Of all configurations of both, by ``metric``, else the new one's primary metric.

    Args:
        tolerance: by so much, in the metric's unit, a mean may be worse.

    Raises:
        BadLeaderboard: data of the same name differ, nothing is in common, or the metric ranks nothing.
    """
    metric = metric or new.board.primary
    try:
        direction = better(metric)
    except ValueError as error:
        raise BadLeaderboard(str(error)) from error
    _check_data(baseline.board, new.board)
    pairs = _pairs(baseline.board, new.board)
    if not pairs and (new.board.rows or not baseline.board.rows):
        raise BadLeaderboard(
            f"the two have no configuration in common: {_few(baseline.board)} there, {_few(new.board)} here"
        )
    tried = [_try(baseline, new, before, now, metric) for before, now in pairs]
    corrected = iter(holm([p for _, found, p in tried if found]))
    sign = 1 if direction == "higher" else -1
    changes = [_judged(each, sign, tolerance, next(corrected)) if found else each for each, found, _ in tried]
    changes += [*_missing(baseline.board, new.board, pairs), *_new(new.board, pairs)]
    changes.sort(key=lambda each: get_args(Outcome).index(each.outcome))
    return Diff(baseline.board, new.board, metric, tolerance, tuple(changes))


def _check_data(baseline: Board, new: Board) -> None:
    """The same name has to be the same images."""
    sides = [_digests(each) for each in (baseline, new)]
    for label in sides[0].keys() & sides[1].keys():
        if not sides[0][label] & sides[1][label]:
            told = " and ".join(", ".join(each[:8] for each in sorted(side[label])) for side in sides)
            raise BadLeaderboard(
                f"the data {one_line(label, 60)!r} of the two leaderboards are not the same (digests {told}): "
                "results on other images cannot be compared; run the baseline again on the new data"
            )


def _few(board: Board) -> str:
    names = [one_line(row.label, 40) for row in board.rows[:3]]
    return ", ".join(names) + (f" and {len(board.rows) - 3} more" if len(board.rows) > 3 else "") or "nothing"


def _digests(board: Board) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in board.data:
        found.setdefault(each.label, set()).add(each.digest)
    return found


def _pairs(baseline: Board, new: Board) -> list[tuple[RecordedRow, RecordedRow]]:
    """By configuration id, and what is left by label, on the same data."""
    by_id = {row.configuration_id: row for row in baseline.rows}
    pairs = [(by_id[row.configuration_id], row) for row in new.rows if row.configuration_id in by_id]
    taken = {row.configuration_id for pair in pairs for row in pair}
    by_label = {(row.data_digest, row.label): row for row in baseline.rows if row.configuration_id not in taken}
    rest = [row for row in new.rows if row.configuration_id not in taken]
    return pairs + [(by_label[key], row) for row in rest if (key := (row.data_digest, row.label)) in by_label]


Tried = tuple[Change, Difference | None, float]


def _try(baseline: Source, new: Source, before: RecordedRow, now: RecordedRow, metric: str) -> Tried:
    change = Change(now.label, now.data, "not compared", before, now)
    for row, name in ((before, "baseline"), (now, "new")):
        told = row.metrics.get(metric)
        if told is None or told.mean is None:
            reason = told.reason if told and told.reason else "not recorded"
            return replace(change, why=f"{metric} of the {name} one: {reason}"), None, 1.0
    if _same(before, now, metric):
        return replace(change, outcome="same runs"), None, 1.0
    found, p, test = retest(baseline, new, before, now, metric)
    if found is None:
        return replace(change, why="one seed, no interval and no answers to single images: nothing to test by"), None, p
    low, high = found.limits
    return replace(change, difference=found.value, low=low, high=high, test=test), found, p


def _same(before: RecordedRow, now: RecordedRow, metric: str) -> bool:
    """Whether it was not trained again: what is no question needs no test, nor its share of the correction."""
    sides = [[(run.run_id, run.metrics) for run in row.done] for row in (before, now)]
    return sides[0] == sides[1] and before.metrics[metric] == now.metrics[metric]


def _judged(change: Change, sign: int, tolerance: float, adjusted: float) -> Change:
    assert change.difference is not None
    gain = sign * change.difference
    told: Outcome = "improved" if gain > 0 else "tolerated" if -gain <= tolerance else "regressed"
    return replace(change, adjusted=adjusted, outcome=told if adjusted < LEVEL else "no difference shown")


def _missing(baseline: Board, new: Board, pairs: Sequence[tuple[RecordedRow, RecordedRow]]) -> list[Change]:
    """Configurations of the baseline of which the new one has no finished run, and why."""
    found = {before.configuration_id for before, _ in pairs}
    reasons: dict[str, str] = {}
    for left in new.not_ranked:
        for key in (left.configuration_id, f"{left.data_digest} {left.label}"):
            reasons.setdefault(key, f"{left.kind}: {left.reason}")
    return [
        Change(row.label, row.data, "missing", before=row, why=reasons.get(row.configuration_id)
               or reasons.get(f"{row.data_digest} {row.label}") or "it is not in the new leaderboard")
        for row in baseline.rows if row.configuration_id not in found
    ]  # fmt: skip


def _new(new: Board, pairs: Sequence[tuple[RecordedRow, RecordedRow]]) -> list[Change]:
    found = {now.configuration_id for _, now in pairs}
    return [Change(row.label, row.data, "new", now=row) for row in new.rows if row.configuration_id not in found]
