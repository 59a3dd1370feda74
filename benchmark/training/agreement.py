"""Whether an exported network gives the answers that its run has recorded: numpy only.

Two programs compute the same network in another order of additions, so that log-probabilities differ in their last
digits.  They agree where none differs by more than the tolerance, or, below -1, by more than that share of it.  Where
they do, the most probable class is the same unless the two largest log-probabilities lie closer together than twice the
tolerance; how often that happened is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TOLERANCE = 1e-4
ELSEWHERE = 1e-3
"""For a run that was predicted on a GPU, whose kernels round otherwise (some of them to 10 bits, as TF32)."""
IMAGES = 256
"""At most so many test images are tried."""

Numbers = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Agreement:
    """``largest`` is the largest difference of a log-probability, as a share of its size where that is above 1;
    ``other`` is for how many of the ``images`` another class is the most probable."""

    images: int
    largest: float
    other: int
    tolerance: float

    @property
    def holds(self) -> bool:
        """Also false where an answer is no number."""
        return self.largest <= self.tolerance

    @property
    def words(self) -> str:
        """For people."""
        return (
            f"on {self.images} test images its log-probabilities differ from the recorded ones by up to "
            f"{self.largest:.1e} (tolerance {self.tolerance:.0e}); another class is first for {self.other}"
        )


def tolerance(device: str) -> float:
    """For a run that was predicted on ``device``, as ``Result.environment`` has it."""
    return TOLERANCE if device == "cpu" else ELSEWHERE


def some(count: int) -> npt.NDArray[np.int64]:
    """Which of ``count`` images are tried: up to :data:`IMAGES`, evenly spread, since data may be sorted by class."""
    return np.unique(np.linspace(0, count - 1, min(count, IMAGES)).round().astype(np.int64))


def compare(recorded: Numbers, probabilities: Numbers, logarithms: Numbers, tolerance: float) -> Agreement:
    """The recorded log-probabilities (n, classes), and both outputs of the file for the same images.

    Raises:
        ValueError: the shapes differ.
    """
    if not recorded.shape == probabilities.shape == logarithms.shape:
        raise ValueError(f"recorded are answers of shape {recorded.shape}, the file gives {logarithms.shape}")
    then, now = recorded.astype(np.float64), logarithms.astype(np.float64)
    differences = np.abs(then - now) / np.maximum(1.0, np.abs(then))
    plain = np.abs(np.exp(then) - probabilities)  # never more than the difference of the logarithms
    other = int((then.argmax(axis=1) != now.argmax(axis=1)).sum())
    return Agreement(len(then), float(np.maximum(differences, plain).max()), other, tolerance)
