"""The Brier score (Brier 1950), for several classes.  It imports numpy only, since every command imports it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt


class Brier:
    """The mean squared distance of the predicted probabilities from the truth: 0 at best, 2 at worst."""

    better: Literal["lower"] = "lower"
    title = "Brier score"

    def __call__(self, labels: npt.NDArray[np.int64], log_probs: npt.NDArray[np.float32]) -> float:
        wrong = np.exp(log_probs.astype(np.float64))
        wrong[np.arange(len(labels)), labels] -= 1
        return float((wrong**2).sum(1).mean())


brier = Brier()
