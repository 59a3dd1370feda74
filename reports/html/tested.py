"""What a configuration did on the test images, as numbers: confusions, classes, calibration, ROC curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmark.records import CalibrationBin, ClassMetrics, Evaluation, RocCurve
from reports.html.numbers import maybe, per_mille, rounded

GRID = np.array([0, *np.geomspace(0.001, 0.1, 16), *np.linspace(0.125, 1, 18)]).round(4)
"""Rates of false positives at which curves are read: close together where good models differ."""
MACRO = -1
"""Stands for all classes."""
Floats = npt.NDArray[np.float64]


def confusion(evaluations: Sequence[Evaluation]) -> npt.NDArray[np.int64]:
    """Counts (k, k), summed over the seeds."""
    return np.asarray(np.sum([each.confusion for each in evaluations], axis=0), dtype=np.int64)


def sparse(counts: npt.NDArray[np.int64]) -> list[int]:
    """Non-zero counts as pairs: the step from the place of the one before, row by row, and the count."""
    places = np.flatnonzero(counts)
    steps = np.diff(places, prepend=0)
    return [int(each) for each in np.stack([steps, counts.ravel()[places]], axis=1).ravel()]


def calibration(evaluations: Sequence[Evaluation]) -> list[list[float]]:
    """``[confidence, accuracy, count]`` of each bin that has predictions, all seeds together."""
    bins = zip(*(each.calibration for each in evaluations), strict=False)
    return [found for same in bins if (found := _pooled(same))]


def per_class(evaluations: Sequence[Evaluation]) -> list[list[float | None]]:
    """``[precision, recall, F1, AUC]`` of each class, means over the seeds; ``None`` where one of them has none."""
    rows = zip(*(each.per_class for each in evaluations), strict=True)
    return [[_mean(same, name) for name in ("precision", "recall", "f1", "roc_auc")] for same in rows]


def roc(evaluations: Sequence[Evaluation]) -> dict[int, list[int]]:
    """Class index -> rates of true positives at ``GRID``, in thousandths, the mean over the seeds (vertical averaging;
    Fawcett, "An introduction to ROC analysis", 2006); ``MACRO`` is the mean over the classes that have a curve."""
    places = {each.name: place for place, each in enumerate(evaluations[0].per_class)} if evaluations else {}
    found: dict[int, list[Floats]] = {}
    for line in (line for each in evaluations for line in each.roc if line.name in places and line.fpr):
        found.setdefault(places[line.name], []).append(_at_grid(line))
    means = {place: np.mean(lines, axis=0) for place, lines in sorted(found.items())}
    macro = {MACRO: per_mille(np.mean(list(means.values()), axis=0))} if means else {}
    return macro | {place: per_mille(line) for place, line in means.items()}


def _at_grid(line: RocCurve) -> Floats:
    """A curve may rise at a rate that several of its points have: its highest point there counts."""
    fpr, tpr = np.asarray(line.fpr, dtype=np.float64), np.asarray(line.tpr, dtype=np.float64)
    places, first = np.unique(fpr, return_index=True)
    highest = np.maximum.reduceat(tpr, first)
    found: Floats = np.interp(GRID, places, highest)
    return found


def _pooled(bins: Sequence[CalibrationBin]) -> list[float] | None:
    count = sum(each.count for each in bins)
    if not count:
        return None
    confidence = sum((each.confidence or 0.0) * each.count for each in bins) / count
    accuracy = sum((each.accuracy or 0.0) * each.count for each in bins) / count
    return [rounded(confidence), rounded(accuracy), count]


def _mean(same: Sequence[ClassMetrics], name: str) -> float | None:
    values = [getattr(each, name) for each in same]
    return None if None in values else maybe(sum(values) / len(values))
