"""Is a new leaderboard worse than a baseline?  The same configurations against each other, tested and corrected.

    diff(Source.read(Path("baseline.json")), Source.read(Path("results/tour")), None, 0.0).failing

Tests are paired by image where both sides have the answers to single images: in the run directories beside the JSON
file, or packed within it (accuracy only).  Else means, spreads and intervals are compared (:mod:`reports.unpaired`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmark.rundir import BrokenFile, RunDir
from reports import packed, recorded
from reports.influence import image_values
from reports.metrics import better
from reports.recorded import BadLeaderboard, Board, RecordedRow, RecordedRun
from reports.samples import ROUNDING, is_sound
from reports.statistics import LEVEL, Difference, Sampled, difference, holm
from reports.study import STUDIED, tested
from reports.text import one_line
from reports.unpaired import Recorded, unpaired

Outcome = Literal["regressed", "missing", "not compared", "improved", "tolerated", "no difference shown", "new"]
FAILING: tuple[Outcome, ...] = ("regressed", "missing", "not compared")
"""What a gate does not let pass."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Source:
    """A leaderboard, and the directory in whose ``runs/`` its run directories would lie."""

    board: Board
    directory: Path

    @classmethod
    def read(cls, path: Path) -> Source:
        """Raises:
        BadLeaderboard: it is none.
        """
        return cls(recorded.read(path), recorded.find(path).parent)


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
    if not pairs:
        raise BadLeaderboard(
            f"the two have no configuration in common: {_few(baseline.board)} there, {_few(new.board)} here"
        )
    tried = [_try(baseline, new, before, now, metric) for before, now in pairs]
    corrected = iter(holm([p for _, found, p in tried if found]))
    sign = 1 if direction == "higher" else -1
    changes = [_judged(each, sign, tolerance, next(corrected)) if found else each for each, found, _ in tried]
    changes += [*_missing(baseline.board, new.board, pairs), *_new(new.board, pairs)]
    order: dict[Outcome, int] = {name: place for place, name in enumerate(Outcome.__args__)}  # type: ignore[attr-defined]
    return Diff(baseline.board, new.board, metric, tolerance, tuple(sorted(changes, key=lambda c: order[c.outcome])))


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
    found, p, test = _tested(baseline, new, before, now, metric)
    if found is None:
        return replace(change, why="one seed, no interval and no answers to single images: nothing to test by"), None, p
    low, high = found.limits
    return replace(change, difference=found.value, low=low, high=high, test=test), found, p


def _tested(
    baseline: Source, new: Source, before: RecordedRow, now: RecordedRow, metric: str
) -> tuple[Difference | None, float, str]:
    """Paired where the answers of both to the same images are there."""
    first, second = _values(new, now, metric), _values(baseline, before, metric)
    if first and second and first[0] == second[0]:
        sampled = Sampled.of(first[1]), Sampled.of(second[1])
        found = difference(*sampled)
        p, test = tested(found, *sampled, exact=metric.endswith("/accuracy"))
        return found, p, f"{test}, answers from {' and '.join(dict.fromkeys([first[2], second[2]]))}"
    sizes = {each.digest: each.sizes for each in new.board.data}.get(now.data_digest, {})
    rest = unpaired(_summary(now, metric, sizes), _summary(before, metric, sizes))
    return (rest, rest.p, "unpaired, from means and intervals") if rest else (None, 1.0, "")


def _values(source: Source, row: RecordedRow, metric: str) -> tuple[str, Floats, str] | None:
    """What tells the images, the metric's values (seeds, n) for them, and where they are from."""
    split, _, name = metric.partition("/")
    read = [_of_run(source, run, split, name) for run in row.done]
    whole = [each for each in read if each]
    if whole and len(whole) == len(read) and len({digest for digest, _ in whole}) == 1:
        return whole[0][0], np.stack([values for _, values in whole]), "the run directories"
    if name != "accuracy" or row.answers is None or row.answers.split != split:
        return None
    try:
        return row.answers.images, packed.unpack(row.answers).astype(np.float64), "leaderboard.json"
    except ValueError as error:
        raise BadLeaderboard(f"{one_line(row.label, 60)}: {error}: the file was edited") from error


def _of_run(source: Source, run: RecordedRun, split: str, name: str) -> tuple[str, Floats] | None:
    """From its run directory, which counts only where it holds the run that the leaderboard tells of: a later one may
    have taken its place."""
    try:
        predictions = RunDir(source.directory / "runs" / run.run_id).read_predictions(split)
    except BrokenFile:
        return None
    if not is_sound(predictions):
        return None
    for each in dict.fromkeys([name, *STUDIED]):
        told, values = run.metrics.get(f"{split}/{each}"), image_values(each, predictions)
        if told is not None and values is not None and abs(float(values.mean()) - told) > ROUNDING * max(1, abs(told)):
            return None
    values = image_values(name, predictions)
    return None if values is None else (packed.digest(predictions.ids, predictions.labels), values)


def _summary(row: RecordedRow, metric: str, sizes: Mapping[str, int]) -> Recorded:
    found = row.metrics[metric]
    assert found.mean is not None
    split, _, name = metric.partition("/")
    low, high = (found.interval.low, found.interval.high) if found.interval else (None, None)
    images = sizes.get(split, 0) if name == "accuracy" else 0
    return Recorded(found.mean, found.sd, max(1, len(found.values)), low, high, images)


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
