"""Mean and spread of one metric over the seeds of a configuration.

``sd`` is the spread between seeds, not the uncertainty of the mean: that is :mod:`reports.statistics`'.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Aggregate:
    """One metric of one configuration: ``values`` in the order of the seeds, their mean, and their sample standard
    deviation (``None`` with one seed).  Where ``mean`` is ``None``, ``reason`` says why."""

    mean: float | None
    sd: float | None
    values: tuple[float, ...]
    reason: str | None = None


def aggregate(values: Sequence[float]) -> Aggregate:
    """The mean and the standard deviation (n - 1 in the denominator) of finite values.

    Sums are exactly rounded, so that neither depends on the order of the seeds: equal sets of values tie.

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    if not values or not all(math.isfinite(each) for each in values):
        raise ValueError(f"a mean needs at least one value, all of them finite; got {list(values)}")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Aggregate(mean, None, tuple(values))
    squares = math.fsum((each - mean) ** 2 for each in values)
    return Aggregate(mean, math.sqrt(squares / (len(values) - 1)), tuple(values))


def undefined(reason: str) -> Aggregate:
    """A metric without a value."""
    return Aggregate(None, None, (), reason)
