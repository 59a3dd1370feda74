"""The difference of two configurations of which only means, spreads and intervals are known.

For results whose answers to single images are gone.  What seeds and images bring to the variance is taken from the
recorded interval; the two sides count as independent.  That is cautious: the test images are the same, so that a paired
test would tell smaller differences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from reports.statistics import Difference, Part, critical

ROUNDS = 60
"""Of halving an interval: to the last bit of a double."""


@dataclass(frozen=True)
class Recorded:
    """A mean over ``seeds`` runs, their standard deviation (``None`` with one), and the 95% interval where there is
    one; ``images`` is the size of the test set where the metric is a share of its images, else 0."""

    mean: float
    sd: float | None
    seeds: int
    low: float | None = None
    high: float | None = None
    images: int = 0

    @property
    def parts(self) -> tuple[Part, ...]:
        """Of the mean's variance; none where nothing is known of it."""
        seeds = (Part(self.sd**2 / self.seeds, self.seeds - 1),) if self.sd is not None and self.seeds > 1 else ()
        if self.low is not None and self.high is not None:
            return (*seeds, Part(_rest(seeds, (self.high - self.low) / 2)))
        if self.images and 0 <= self.mean <= 1:
            return (*seeds, Part(self.mean * (1 - self.mean) / self.images))
        return seeds


def unpaired(first: Recorded, second: Recorded) -> Difference | None:
    """``None`` where nothing is known of the variance of one of them."""
    if not (first.parts and second.parts):
        return None
    parts = (*first.parts, *second.parts)
    seeds = [part for part in parts if not math.isinf(part.df)]
    images = Part(math.fsum(part.variance for part in parts if math.isinf(part.df)))
    return Difference(first.mean - second.mean, (*_together(seeds), images), None, 0.0, 0)


def _together(seeds: list[Part]) -> tuple[Part, ...]:
    """The parts of both sides' seeds as one, with Welch's degrees of freedom (Biometrika 34, 1947)."""
    total = math.fsum(part.variance for part in seeds)
    if not total:
        return tuple(seeds[:1])
    return (Part(total, total**2 / math.fsum(part.variance**2 / part.df for part in seeds)),)


def _rest(seeds: tuple[Part, ...], half: float) -> float:
    """The variance, beside that of the seeds, with which the interval reaches ``half`` to each side."""
    low, high = 0.0, half**2
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        parts = [*seeds, Part(middle)]
        if critical(parts) * math.sqrt(math.fsum(part.variance for part in parts)) < half:
            low = middle
        else:
            high = middle
    return high
