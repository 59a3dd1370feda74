"""How well the probability of the predicted class tells how often it is right.

Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, section 2: equal-width bins of the top-1
probability, each open below and closed above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """Per bin (lower, upper], all of shape (bins,): int64 ``count``, sum of ``confidence``, number ``correct``."""

    count: npt.NDArray[np.int64]
    confidence: Floats
    correct: Floats

    @classmethod
    def of(cls, confidence: Floats, correct: npt.NDArray[np.bool_], bins: int = BINS) -> Calibration:
        """From each image's top-1 probability, in (0, 1], and whether that class is the right one; shapes (n,)."""
        place = np.searchsorted(edges(bins)[1:-1], confidence, side="left")
        summed, right = (np.bincount(place, weights, minlength=bins) for weights in (confidence, correct))
        return cls(np.bincount(place, minlength=bins), summed.astype(np.float64), right.astype(np.float64))

    @property
    def mean_confidence(self) -> Floats:
        """Mean top-1 probability in each bin; NaN in an empty one."""
        return self._mean(self.confidence)

    @property
    def accuracy(self) -> Floats:
        """Share of right predictions in each bin; NaN in an empty one."""
        return self._mean(self.correct)

    @property
    def expected_error(self) -> float:
        """Expected calibration error: mean over images of |accuracy - confidence| of their bin."""
        return float(np.abs(self.correct - self.confidence).sum() / self.count.sum())

    def _mean(self, sums: Floats) -> Floats:
        means = np.full(len(sums), np.nan)
        np.divide(sums, self.count, out=means, where=self.count > 0)
        return means


def edges(bins: int = BINS) -> Floats:
    """The bins' borders from 0 to 1, shape (bins + 1,)."""
    return np.linspace(0, 1, bins + 1)
