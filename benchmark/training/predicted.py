"""Predictions of one split, checked once, and what is measured on each image's probabilities.

Numpy only.  A matrix of 50,000 × 1,000 is read a few times and never copied whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.training.calibration import Calibration
from benchmark.training.confusion import Confusion, Floats, Integers
from benchmark.training.ranking import roc_auc, roc_aucs

LogProbs = npt.NDArray[np.floating]

SMALLEST_LOG_PROB = math.log(np.finfo(np.float64).eps)
TOLERANCE = 1e-3
"""How far a row of probabilities may be from a sum of 1."""
ROWS = 4096
"""Rows whose probabilities are summed together, so that a large matrix is not copied whole."""


class NotANumber(ValueError):
    """Predictions hold NaN: the model has diverged."""


@dataclass(frozen=True)
class Predicted:
    """Checked predictions: ``labels`` and ``predictions`` int64 (n,), ``log_probs`` (n, k), ``confidence``, the
    probability of the predicted class, float64 (n,)."""

    labels: Integers
    log_probs: LogProbs
    predictions: Integers
    confidence: Floats

    @classmethod
    def of(cls, labels: npt.NDArray[Any], log_probs: npt.NDArray[Any]) -> Predicted:
        """Checks both arrays.

        Raises:
            NotANumber: a log-probability is NaN.
            ValueError: shapes, types or labels do not fit, there are no images, or rows are not log-probabilities.
        """
        labels = _checked_labels(labels, log_probs)
        predictions = log_probs.argmax(axis=1)  # a NaN counts as the largest
        top = np.take_along_axis(log_probs, predictions[:, None], axis=1)[:, 0]
        _check_log_probs(log_probs, top)
        confidence = np.minimum(np.exp(top, dtype=np.float64), 1.0)
        return cls(labels, log_probs, predictions, confidence)

    @property
    def classes(self) -> int:
        return int(self.log_probs.shape[1])

    @property
    def confusion(self) -> Confusion:
        return Confusion.of(self.labels, self.predictions, self.classes)

    @property
    def calibration(self) -> Calibration:
        return Calibration.of(self.confidence, self.predictions == self.labels)

    @property
    def log_loss(self) -> float:
        """Mean negative log-probability of the right class, in nats, each at most 36.04."""
        own = np.take_along_axis(self.log_probs, self.labels[:, None], axis=1).astype(np.float64)
        return 0.0 - float(np.clip(own, SMALLEST_LOG_PROB, 0.0).mean())

    def top_accuracy(self, count: int) -> float:
        """Share of images whose right class is among the ``count`` most probable."""
        own = np.take_along_axis(self.log_probs, self.labels[:, None], axis=1)
        later = np.arange(self.classes) > self.labels[:, None]
        ahead = (self.log_probs > own) | ((self.log_probs == own) & later)
        return float((np.count_nonzero(ahead, axis=1) < count).mean())

    def roc_auc(self) -> float:
        """Macro one-vs-rest area, of the second class where there are two; NaN where a class has no images."""
        if self.classes == 2:
            return roc_auc(self.labels == 1, self.log_probs[:, 1])
        return float(roc_aucs(self.labels, self.log_probs).mean()) if self.confusion.support.all() else math.nan


def _checked_labels(labels: npt.NDArray[Any], log_probs: npt.NDArray[Any]) -> Integers:
    if log_probs.ndim != 2 or log_probs.shape[1] < 2 or not np.issubdtype(log_probs.dtype, np.floating):
        raise ValueError(f"log_probs: expected floats of shape (n, k), k >= 2, got {_shape(log_probs)}")
    if labels.shape != log_probs.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels: expected integers of shape ({len(log_probs)},), got {_shape(labels)}")
    if not len(labels):
        raise ValueError("there are no images to score")
    outside = np.flatnonzero((labels < 0) | (labels >= log_probs.shape[1]))
    if len(outside):
        place = outside[0]
        raise ValueError(f"labels[{place}] is {labels[place]}, but the classes are 0 to {log_probs.shape[1] - 1}")
    return labels.astype(np.int64, copy=False)


def _check_log_probs(log_probs: LogProbs, top: LogProbs) -> None:
    _refuse(NotANumber, np.isnan(top), "has NaN: the model has diverged")
    _refuse(ValueError, top > TOLERANCE, "has a value above 0: log-probabilities are wanted, not logits")
    _refuse(
        ValueError, np.abs(_sums(log_probs) - 1) > TOLERANCE, "is not a distribution: its probabilities must sum to 1"
    )


def _refuse(error: type[ValueError], wrong: npt.NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        raise error(f"log_probs: row {int(wrong.argmax())} {what}")


def _sums(log_probs: LogProbs) -> npt.NDArray[Any]:
    starts = range(0, len(log_probs), ROWS)
    return np.concatenate([np.exp(log_probs[start : start + ROWS]).sum(axis=1) for start in starts])


def _shape(array: npt.NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"
