"""The best test of two recorded configurations that what is left of them allows.

Paired by image where both sides have the answers to single images: in the run directories beside the JSON file, or
packed within it (accuracy only).  Else means, spreads and intervals are compared (:mod:`reports.unpaired`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmark.rundir import BrokenFile, RunDir
from reports import packed, recorded
from reports.influence import image_values
from reports.recorded import BadLeaderboard, Board, RecordedRow, RecordedRun
from reports.samples import ROUNDING, is_sound
from reports.statistics import Difference, Sampled, difference
from reports.study import STUDIED, tested
from reports.text import one_line
from reports.unpaired import Recorded, unpaired

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


def retest(
    baseline: Source, new: Source, before: RecordedRow, now: RecordedRow, metric: str
) -> tuple[Difference | None, float, str]:
    """The difference of the two means, its p-value and the test in words; no difference where nothing can be tested.

    Raises:
        BadLeaderboard: packed answers were edited.
    """
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
