"""One-vs-rest ROC curves and the areas under them, by ranks.

A column of scores is sorted once; the positives' places in it, found by binary search, give both the area (the
Mann-Whitney statistic, ties counting half) and every corner of the curve.  50,000 images of 1,000 classes take about
1 s, where a curve per class with ``argsort`` takes 18 s.  Scores may be any numbers that order the images, -inf
included: log-probabilities order them as probabilities do, without the ties that rounding makes near 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Scores = npt.NDArray[np.floating]
Truths = npt.NDArray[np.bool_]

BLOCK = 64
"""Columns that are copied together into contiguous memory."""


def roc_auc(positive: Truths, scores: Scores) -> float:
    """Probability that a positive has a higher score than a negative, ties counting half.

    Args:
        positive: shape (n,).
        scores: shape (n,), no NaN.

    Returns:
        The area, or NaN without a positive or without a negative.
    """
    wins, draws = _comparisons(positive, scores)
    positives = len(wins)
    pairs = positives * (len(scores) - positives)
    return float((wins.sum() + draws.sum() / 2) / pairs) if pairs else float("nan")


def roc_aucs(labels: Integers, scores: Scores) -> Floats:
    """:func:`roc_auc` of each class against the rest, shape (k,), from scores of shape (n, k)."""
    return np.array([roc_auc(labels == index, column) for index, column in _columns(scores)])


def roc_curve(positive: Truths, scores: Scores) -> tuple[Floats, Floats]:
    """Rates of false and of true positives from (0, 0) to (1, 1), at the corners of the curve.

    Arguments as for :func:`roc_auc`; both kinds have to be there.

    Raises:
        ValueError: there is no positive or no negative.
    """
    ordered, own = np.sort(scores), np.sort(scores[positive])
    positives, negatives = len(own), len(ordered) - len(own)
    if not positives or not negatives:
        raise ValueError("a ROC curve needs positives and negatives")
    thresholds = np.unique(own)[::-1]
    sides = [_above(ordered, own, thresholds, side) for side in ("right", "left")]  # before and after each threshold
    points = np.stack(sides, axis=1).reshape(-1, 2)
    points = _corners(np.concatenate([[[0, 0]], points, [[negatives, positives]]]))
    return points[:, 0] / negatives, points[:, 1] / positives


def roc_curves(labels: Integers, scores: Scores, most: int) -> Iterator[tuple[int, Floats, Floats]]:
    """Class index and :func:`roc_curve`, thinned to ``most`` points, of each class that has images and is not alone."""
    for index, column in _columns(scores):
        positive = labels == index
        if 0 < np.count_nonzero(positive) < len(positive):
            yield index, *thinned(*roc_curve(positive, column), most)


def thinned(fpr: Floats, tpr: Floats, most: int) -> tuple[Floats, Floats]:
    """At most ``most`` of a curve's own points, spread evenly along it, both ends included.

    Along a ROC curve fpr + tpr rises from 0 to 2, so that steep and flat parts keep their share of points; what is left
    out lies within 2 / (most - 1) of what is kept.
    """
    if len(fpr) <= most:
        return fpr, tpr
    length = fpr + tpr
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], most)))
    return fpr[kept], tpr[kept]


def _comparisons(positive: Truths, scores: Scores) -> tuple[Integers, Integers]:
    """How many negatives each positive, in ascending order, beats and ties with."""
    ordered, own = np.sort(scores), np.sort(scores[positive])
    below = np.searchsorted(ordered, own, "left") - np.searchsorted(own, own, "left")
    up_to = np.searchsorted(ordered, own, "right") - np.searchsorted(own, own, "right")
    return below, up_to - below


def _above(ordered: Scores, own: Scores, thresholds: Scores, side: str) -> Integers:
    """(false positives, true positives) above each threshold; at or above it for side ``left``.  Shape (t, 2)."""
    everyone = len(ordered) - np.searchsorted(ordered, thresholds, side)  # type: ignore[call-overload]
    true = len(own) - np.searchsorted(own, thresholds, side)  # type: ignore[call-overload]
    return np.stack([everyone - true, true], axis=1)


def _corners(points: Integers) -> Integers:
    """Without repeated points and points on the straight line between their neighbours."""
    steps = np.diff(points, axis=0)
    points = points[np.concatenate([[True], steps.any(axis=1)])]
    before, after = np.diff(points[:-1], axis=0), np.diff(points[1:], axis=0)
    bends = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    kept: Integers = points[np.concatenate([[True], bends, [True]])]
    return kept


def _columns(scores: Scores) -> Iterator[tuple[int, Scores]]:
    for start in range(0, scores.shape[1], BLOCK):
        yield from enumerate(np.ascontiguousarray(scores[:, start : start + BLOCK].T), start)
