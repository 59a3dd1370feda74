"""Each image's share in a metric: values whose mean over the images is the metric itself.

For means (accuracy, log loss) they are the images' own terms.  For the others they are the metric plus the empirical
influence of each image: how the metric would change if the image weighed a little more (Hampel, "The influence curve
and its role in robust estimation", JASA 69, 1974; Efron, *The Jackknife, the Bootstrap and Other Resampling Plans*,
1982, chapter 6).  Their spread over the images is that of the metric over test sets; for the ROC-AUC it is that of
DeLong, DeLong & Clarke-Pearson, Biometrics 44, 1988.  Tests compare it with a bootstrap of the images.

The metrics are those of :mod:`benchmark.training.metrics`.  None is given where a metric is undefined, and none for
those that are not smooth (the calibration error) or depend on the training (the loss).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from benchmark.records import Predictions

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
FLOOR = float(np.finfo(np.float64).eps)
TOP = 5
AUC_CELLS = 20_000_000
"""Images × classes beyond which the AUC's values are not computed: a second for each run."""


def image_values(name: str, predictions: Predictions) -> Floats | None:
    """The values of the metric ``name`` (without section), float64 (n,); ``None`` where it has none."""
    found = _VALUES.get(name)
    return found(predictions) if found else None


def has_values(name: str) -> bool:
    """Whether the metric ``name`` (without section) can have values."""
    return name in _VALUES


def right(predictions: Predictions) -> npt.NDArray[np.bool_]:
    """Whether the most probable class is the true one, bool (n,)."""
    return np.asarray(predictions.log_probs.argmax(axis=1) == predictions.labels)


def _accuracy(predictions: Predictions) -> Floats:
    return right(predictions).astype(np.float64)


def _top5(predictions: Predictions) -> Floats | None:
    log_probs, labels = predictions.log_probs, predictions.labels
    if log_probs.shape[1] <= TOP:
        return None
    own = log_probs[np.arange(len(labels)), labels, None]
    later = np.arange(log_probs.shape[1])[None] > labels[:, None]  # of equals, the last count as higher
    above = (log_probs > own).sum(axis=1) + ((log_probs == own) & later).sum(axis=1)
    return np.asarray(above < TOP, dtype=np.float64)


def _log_loss(predictions: Predictions) -> Floats:
    own = predictions.log_probs[np.arange(len(predictions.labels)), predictions.labels].astype(np.float64)
    return np.asarray(-np.maximum(own, np.log(FLOOR)), dtype=np.float64)


class _Counts:
    """The confusion matrix (k, k) of predictions, as far as macro averages need it, and each image's cell."""

    def __init__(self, predictions: Predictions) -> None:
        self.true, self.told = predictions.labels, predictions.log_probs.argmax(axis=1)
        k = predictions.log_probs.shape[1]
        self.right = self.true == self.told
        self.images = np.bincount(self.true, minlength=k).astype(np.float64)
        self.answers = np.bincount(self.told, minlength=k).astype(np.float64)
        self.hits = np.bincount(self.true[self.right], minlength=k).astype(np.float64)
        self.there = (self.images > 0) | (self.answers > 0)

    def ratios(self, of_images: float, of_answers: float) -> tuple[Floats, Floats]:
        """hits / (of_images · images + of_answers · answers) of each class, 0 where that is 0; and the divisors."""
        divisors = of_images * self.images + of_answers * self.answers
        return np.divide(self.hits, divisors, out=np.zeros_like(divisors), where=divisors > 0), divisors

    def mean(self, of_images: float, of_answers: float, weights: Floats) -> Floats:
        """The values of the mean of these ratios over the classes, weighted by weights that do not vary."""
        ratios, divisors = self.ratios(of_images, of_answers)
        each = np.divide(
            weights, divisors, out=np.zeros_like(divisors), where=divisors > 0
        )  # a class's share, per image
        moved = each[self.true] * (self.right - of_images * ratios[self.true])
        moved -= of_answers * each[self.told] * ratios[self.told]
        return np.asarray(weights @ ratios + len(self.true) * moved)


def _macro(of_images: float, of_answers: float) -> Callable[[Predictions], Floats]:
    def values(predictions: Predictions) -> Floats:
        counts = _Counts(predictions)
        return counts.mean(of_images, of_answers, counts.there / counts.there.sum())

    return values


def _weighted(of_images: float, of_answers: float) -> Callable[[Predictions], Floats]:
    """Weights are the classes' shares of the images, which vary from test set to test set."""

    def values(predictions: Predictions) -> Floats:
        counts = _Counts(predictions)
        ratios, _ = counts.ratios(of_images, of_answers)
        metric = counts.mean(of_images, of_answers, counts.images / counts.images.sum())
        return np.asarray(metric + ratios[counts.true] - float(ratios @ counts.images) / len(counts.true))

    return values


def _balanced(predictions: Predictions) -> Floats:
    counts = _Counts(predictions)
    there = counts.images > 0
    return counts.mean(1, 0, there / there.sum())


def _roc_auc(predictions: Predictions) -> Floats | None:
    log_probs, labels = predictions.log_probs, predictions.labels
    k = log_probs.shape[1]
    if log_probs.size > AUC_CELLS or len(np.unique(labels)) < k:
        return None
    classes = [1] if k == 2 else range(k)
    return np.asarray(np.mean([_delong(labels == index, log_probs[:, index]) for index in classes], axis=0))


def _delong(positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.float32]) -> Floats:
    """The values of one class against the rest.  A positive's placement is the share of negatives below it, a
    negative's that of positives above it; the fewer there are of its kind, the more each one moves the area."""
    ours, others = np.sort(scores[positive]), np.sort(scores[~positive])
    placements = np.empty(len(scores))
    placements[positive] = _below(others, scores[positive])
    placements[~positive] = 1 - _below(ours, scores[~positive])
    area = float(placements[positive].mean())
    return area + np.where(positive, len(scores) / len(ours), len(scores) / len(others)) * (placements - area)


def _below(ordered: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> Floats:
    """The share of ``ordered`` below each score, ties counting half."""
    sides = [np.searchsorted(ordered, scores, side) for side in ("left", "right")]
    return np.asarray((sides[0] + sides[1]) / (2 * len(ordered)))


_VALUES: Mapping[str, Callable[[Predictions], Floats | None]] = {
    "accuracy": _accuracy,
    "top5_accuracy": _top5,
    "balanced_accuracy": _balanced,
    "precision_macro": _macro(0, 1),
    "precision_weighted": _weighted(0, 1),
    "recall_macro": _macro(1, 0),
    "recall_weighted": _accuracy,
    "f1_macro": _macro(0.5, 0.5),
    "f1_weighted": _weighted(0.5, 0.5),
    "roc_auc_macro": _roc_auc,
    "log_loss": _log_loss,
}
