"""How sure a mean and a difference of means are, given several seeds and one finite test set.

Everything is computed from *values*: float64 (seeds, n), a run's per-image values in each row, whose mean over the
images is the run's metric (:mod:`reports.influence`).  A configuration's mean varies for two reasons, the seed and the
choice of test images, and the two are told apart by the analysis of variance of a two-way layout with one value a cell
(Searle, Casella & McCulloch, *Variance Components*, 1992, chapter 4):

- the variance of the runs' metrics over the number of seeds, which has ``seeds - 1`` degrees of freedom and holds what
  seed and image do together;
- what is common to all seeds in the images, the variance of the image means over n, less what of it was counted above.

The critical value is a mean of Student's quantile and the normal one, weighted by the variances of seeds and images,
as Cochran's is (Cochran & Cox, *Experimental Designs*, 1957, 4.14), but to a power, and with more weight to the seeds,
since his is too careful where seeds matter little and not careful enough where they matter most.  Fractions get their
interval on the logit scale, so that it stays within 0 and 1.

A bootstrap of seeds and images was tried and left: with two to five seeds it is too narrow by far (docs/statistics.md
has both coverages, and ``perf/coverage.py`` computes them).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Scale = Literal["fraction", "positive", "any"]
"""``fraction``: within 0 and 1; ``positive``: from 0 on."""
LEVEL = 0.05
POWER_OF_VARIANCE, WEIGHT_OF_IMAGES = 1.6, 0.5
"""They keep the coverage with two seeds between 93.8 and 97.0%, with more between 95.0 and 96.9%, whatever the true
variances: computed for normal means, by a test."""
POWER = 0.8
"""With which a forecast difference would be told."""
MANY = 1_000
"""Seeds and, relative to those there are, images beyond which no forecast is given."""
TINY = 1e-15
"""Variances below are rounding errors."""


@dataclass(frozen=True)
class Part:
    """A part of a mean's sampling variance; ``df`` are its degrees of freedom, infinite for that of many images."""

    variance: float
    df: float = math.inf


@dataclass(frozen=True)
class Sampled:
    """What the seeds and images of one configuration say: ``means`` (n,) over the seeds of each image's value,
    ``between`` the variance of the runs' metrics (``None`` with one seed), of which ``joint`` is due to what seed and
    image do together, as is ``joint / seeds`` of the variance of the image means."""

    seeds: int
    means: Floats
    between: float | None
    joint: float

    @classmethod
    def of(cls, values: Floats) -> Sampled:
        """From values (seeds, n); n is at least 2."""
        seeds, n = values.shape
        means = values.mean(axis=0)
        if seeds == 1:
            return cls(1, means, None, 0.0)
        runs = values.mean(axis=1)
        rest = values - runs[:, None] - means[None] + means.mean()
        return cls(seeds, means, float(runs.var(ddof=1)), float((rest**2).sum() / ((seeds - 1) * (n - 1) * n)))

    @property
    def mean(self) -> float:
        return float(self.means.mean())

    @property
    def images(self) -> float:
        """The variance of the mean that the choice of images brings, beyond what ``between`` holds."""
        return max(0.0, _variance_of_mean(self.means) - self.joint / self.seeds)

    @property
    def parts(self) -> tuple[Part, ...]:
        shared = Part(self.images)
        return (shared,) if self.between is None else (Part(self.between / self.seeds, self.seeds - 1), shared)


def interval(sampled: Sampled, scale: Scale) -> tuple[float, float]:
    """The 95% interval of a configuration's metric.  Of a fraction that is 0 or 1 for every image it is Wilson's
    (1927), which knows that further images may differ; elsewhere a variance of nothing leaves an interval of nothing.
    """
    mean, half = sampled.mean, critical(sampled.parts) * _error(sampled.parts)
    if scale == "fraction":
        return _on_logits(min(1.0, max(0.0, mean)), half, len(sampled.means))
    return (max(0.0, mean - half) if scale == "positive" else mean - half), mean + half


def seeds_interval(values: Sequence[float], scale: Scale) -> tuple[float, float]:
    """Student's 95% interval of the mean of at least two runs' metrics: over seeds, for these very test images."""
    found = np.asarray(values, dtype=np.float64)
    part = Part(float(found.var(ddof=1)) / len(found), len(found) - 1)
    mean, half = float(found.mean()), critical([part]) * _error([part])
    if scale == "fraction" and 0 < mean < 1:
        return _on_logits(mean, half, len(found))
    return (max(0.0, mean - half) if scale == "positive" else mean - half), mean + half


@dataclass(frozen=True)
class Difference:
    """The first configuration's mean less the second's, and the parts of its variance.  ``seeds`` are the variances
    of one run of each, as far as known; ``images`` is the part of the test images."""

    value: float
    parts: tuple[Part, ...]
    seeds: tuple[float, float] | None
    images: float
    n: int

    @property
    def error(self) -> float:
        """The standard error."""
        return _error(self.parts)

    @property
    def limits(self) -> tuple[float, float]:
        """The 95% interval."""
        half = critical(self.parts) * self.error
        return self.value - half, self.value + half

    @property
    def p(self) -> float:
        """The two-sided p-value that there is no difference."""
        return p_value(self.value, self.parts)


def difference(first: Sampled, second: Sampled) -> Difference:
    """Paired by the images, which both have seen in the same order; the seeds are independent, since the same number
    starts another network.  Where one configuration has a single seed, the other's variance is taken for both."""
    distances = first.means - second.means
    between = [each.between for each in (first, second)]
    known = [each for each in between if each is not None]
    value = float(distances.mean())
    total = _variance_of_mean(distances)
    if not known:
        return Difference(value, (Part(total),), None, total, len(distances))
    a, b = (each if each is not None else known[0] for each in between)
    joint = [each.joint for each in (first, second) if each.between is not None]
    joint_a, joint_b = joint[0], joint[-1]
    images = max(0.0, total - joint_a / first.seeds - joint_b / second.seeds)
    of_seeds = _of_seeds((a, first.seeds, first.between), (b, second.seeds, second.between))
    return Difference(value, (of_seeds, Part(images)), (a, b), images, len(distances))


def _of_seeds(*sides: tuple[float, int, float | None]) -> Part:
    """The part of both configurations' seeds, each with its variance of one run, its seeds, and the variance that it
    was estimated from, if any.  Degrees of freedom are Welch's (Biometrika 34, 1947); those of an estimate that serves
    both sides are its own."""
    own = [(variance / seeds, seeds - 1) for variance, seeds, between in sides if between is not None]
    total = math.fsum(variance / seeds for variance, seeds, _ in sides)
    if len(own) == 1 or not total:
        return Part(total, max(df for _, df in own))
    return Part(total, total**2 / math.fsum(each**2 / df for each, df in own))


def critical(parts: Sequence[Part], level: float = LEVEL) -> float:
    """The two-sided critical value of a mean whose variance has these parts."""
    total = math.fsum(part.variance for part in parts)
    if not total:
        return _quantile(math.inf, level)
    weights = [(part.variance / total) ** POWER_OF_VARIANCE for part in parts]
    weights = [w * (WEIGHT_OF_IMAGES if math.isinf(part.df) else 1) for w, part in zip(weights, parts, strict=True)]
    quantiles = [weight * _quantile(part.df, level) for weight, part in zip(weights, parts, strict=True)]
    return math.fsum(quantiles) / math.fsum(weights)


def p_value(value: float, parts: Sequence[Part]) -> float:
    """The level at which ``value`` is as large as its critical value: found by halving, to 1e-4 of itself."""
    error = _error(parts)
    if error <= TINY:
        return 1.0 if abs(value) <= TINY else 0.0
    low, high = -300.0, 0.0  # decimal logarithms
    while high - low > 4e-5:
        middle = (low + high) / 2
        if critical(parts, 10**middle) > abs(value) / error:
            low = middle
        else:
            high = middle
    return float(min(1.0, 10**high))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the given order: the chance that *any* of them is below the level by luck is at most the
    level, whatever their dependence.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def mcnemar(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """The p-value of McNemar's exact test (two-sided, binomial) that two models are right equally often.

    Args:
        first, second: bool (n,), whether each model is right on each of the same images.

    Raises:
        ValueError: the arrays differ in shape.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions", 1947.
    """
    if first.shape != second.shape:
        raise ValueError(f"{first.shape} and {second.shape} answers cannot be compared")
    return discordant(int((~first & second).sum()), int((first & ~second).sum()))


def discordant(gained: int, lost: int) -> float:
    """McNemar's exact p-value from the numbers of images that only one of the two has right."""
    from scipy.special import bdtr  # scipy.stats takes half a second to import

    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5))) if gained + lost else 1.0


def more_seeds(found: Difference, have: int, level: float = LEVEL) -> int | None:
    """How many further seeds of each configuration would tell a difference of this size, with 80% power; ``None``
    where the seeds' variance is not known, or no number would: then the test images are too few."""
    if found.seeds is None or not _is_enough(found, MANY, level):
        return None
    low, high = have, MANY  # not enough, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_enough(found, middle, level) else (middle, high)
    return high - have


def more_images(found: Difference, level: float = LEVEL) -> int | None:
    """How many further test images would, given seeds enough; ``None`` beyond a thousand times those there are."""
    reach = abs(found.value) / (_quantile(math.inf, level) + _power())
    needed = found.n * found.images / reach**2 if reach else math.inf
    return math.ceil(needed) - found.n if found.n < needed <= MANY * found.n else None


def _is_enough(found: Difference, seeds: int, level: float) -> bool:
    assert found.seeds is not None
    of_seeds = _of_seeds(*((each, seeds, each) for each in found.seeds))
    parts = [of_seeds, Part(found.images)]
    return abs(found.value) >= (critical(parts, level) + _power()) * _error(parts)


def _on_logits(mean: float, half: float, n: int) -> tuple[float, float]:
    """``mean ± half`` carried to the logits and back; Wilson's interval of n where the mean is 0 or 1."""
    if mean in (0.0, 1.0):
        z = _quantile(math.inf, LEVEL)
        far = z**2 / (n + z**2)
        return (0.0, far) if mean == 0 else (1 - far, 1.0)
    centre, reach = math.log(mean / (1 - mean)), half / (mean * (1 - mean))
    return _logistic(centre - reach), _logistic(centre + reach)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _variance_of_mean(values: Floats) -> float:
    return float(values.var(ddof=1)) / len(values)


def _error(parts: Sequence[Part]) -> float:
    return math.sqrt(math.fsum(part.variance for part in parts))


def _quantile(df: float, level: float) -> float:
    from scipy.special import ndtri, stdtrit

    return float(-ndtri(level / 2) if math.isinf(df) else -stdtrit(df, level / 2))


def _power() -> float:
    from scipy.special import ndtri

    return float(ndtri(POWER))
