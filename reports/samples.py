"""The predictions of a table's rows, read one run at a time, and what is kept of each: its per-image values.

Rows are compared on the same images only: a run whose test images are others, or in another order, is named in
``troubles`` and left out, as is one whose file cannot be read.  Reading ends where ``RUNS`` or ``BYTES`` are spent, so
that a report of thousands of runs stays quick; at least two rows are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmark.records import Predictions
from benchmark.rundir import BrokenFile, RunDir
from reports.influence import image_values
from reports.leaderboard import Entry, Row, Table
from reports.packed import Packed, digest, pack
from reports.statistics import Sampled

ROWS, RUNS, BYTES = 50, 300, 2 * 1024**3
"""The most that is read."""
ROUNDING = 1e-4
"""By how much a metric may differ from that of the predictions, which are kept in float32."""
Floats = npt.NDArray[np.float64]


@dataclass
class Samples:
    """``rows``: configuration id -> metric -> what its seeds and images say, of the rows that could be read, the best
    first; ``answers``: configuration id -> which images its runs have right; ``unread``: how many ranked rows were not
    tried; ``troubles``: what was left out, for a reader."""

    rows: dict[str, dict[str, Sampled]] = field(default_factory=dict)
    answers: dict[str, Packed] = field(default_factory=dict)
    unread: int = 0
    troubles: list[str] = field(default_factory=list)


def read(table: Table, metrics: Sequence[str]) -> Samples:
    """The samples of ``table`` for ``metrics``, such as ``test/accuracy``, all of one split."""
    samples, reader = Samples(), _Reader(metrics)
    ranked = table.ranked
    for place, row in enumerate(ranked):
        if place >= 2 and (place >= ROWS or reader.is_spent):
            samples.unread = len(ranked) - place
            break
        runs = list(reader.runs(row))
        found = {name: Sampled.of(np.stack(values)) for name in metrics if (values := _of_all(runs, name))}
        if found:
            samples.rows[row.configuration_id] = found
        if answers := reader.packed(row, runs):
            samples.answers[row.configuration_id] = answers
    samples.troubles = reader.troubles
    return samples


def _of_all(runs: Sequence[dict[str, Floats]], name: str) -> list[Floats]:
    """Empty where one of the runs has none."""
    values = [each[name] for each in runs if name in each]
    return values if len(values) == len(runs) else []


def is_sound(predictions: Predictions) -> bool:
    """Whether shapes and labels of at least two images fit each other."""
    n, shape = len(predictions.labels), predictions.log_probs.shape
    if n < 2 or len(shape) != 2 or shape[0] != n or len(predictions.ids) != n:
        return False
    return bool(0 <= predictions.labels.min() <= predictions.labels.max() < shape[1])


class _Reader:
    def __init__(self, metrics: Sequence[str]) -> None:
        self._names = {name: name.partition("/")[2] for name in metrics}
        self._split = metrics[0].partition("/")[0]
        self._first: Predictions | None = None
        self._images = ""
        self._runs = self._bytes = 0
        self.troubles: list[str] = []

    @property
    def is_spent(self) -> bool:
        return self._runs >= RUNS or self._bytes >= BYTES

    def runs(self, row: Row) -> Iterator[dict[str, Floats]]:
        """The values of each finished run: none at all where one of them cannot be used."""
        found = []
        for entry in row.done:
            if (predictions := self._predictions(entry, row.label)) is None:
                return
            found.append(dict(self._values(entry, row.label, predictions)))
        yield from found

    def packed(self, row: Row, runs: Sequence[dict[str, Floats]]) -> Packed | None:
        """What :meth:`runs` has told of which images are right."""
        values = _of_all(runs, f"{self._split}/accuracy")
        if not values or self._first is None:
            return None
        self._images = self._images or digest(self._first.ids, self._first.labels)
        return pack(np.stack(values) > 0.5, [each.run.seed for each in row.done], self._split, self._images)

    def _values(self, entry: Entry, label: str, predictions: Predictions) -> Iterator[tuple[str, Floats]]:
        """Those whose mean is the metric that the result records."""
        recorded = entry.result.metrics if entry.result else {}
        for name, short in self._names.items():
            values, told = image_values(short, predictions), recorded.get(name)
            if values is None or told is None:
                continue
            if abs(float(values.mean()) - told) <= ROUNDING * max(1.0, abs(told)):
                yield name, values
            else:
                why = f"its predictions give a {name} of {float(values.mean()):.4f}, its result says {told:.4f}"
                self.troubles.append(f"{label}, seed {entry.run.seed}: not compared, {why}")

    def _predictions(self, entry: Entry, label: str) -> Predictions | None:
        if entry.directory is None:
            return None
        self._runs += 1
        try:
            predictions = RunDir(entry.directory).read_predictions(self._split)
            trouble = self._unlike(predictions)
        except BrokenFile:
            trouble = "its predictions.npz cannot be read"
        if trouble:
            self.troubles.append(f"{label}, seed {entry.run.seed}: not compared, {trouble}")
            return None
        self._bytes += predictions.log_probs.nbytes
        return predictions

    def _unlike(self, predictions: Predictions) -> str:
        if not is_sound(predictions):
            return "its predictions.npz does not hold predictions"
        first = self._first = self._first or predictions
        same = np.array_equal(first.ids, predictions.ids) and np.array_equal(first.labels, predictions.labels)
        return "" if same else "its images are others"
