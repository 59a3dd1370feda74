"""Where two confusion matrices differ: which class is taken for which other one more often, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reports.answers import Answers
from reports.rates import Floats, row_rates


@dataclass(frozen=True)
class Change:
    """Class ``true`` taken for ``predicted`` (indices; the same one where it is right), as shares of the true class's
    images in both."""

    true: int
    predicted: int
    first: float
    second: float

    @property
    def difference(self) -> float:
        return self.first - self.second


def difference_of(first: Answers, second: Answers) -> Floats:
    """Rates of the first less those of the second (k, k), of classes without images NaN."""
    return np.asarray(row_rates(first.confusion) - row_rates(second.confusion))


def largest(first: Answers, second: Answers, number: int) -> list[Change]:
    """The confusions (never a class with itself) whose rates differ most; equal rates are none."""
    rates = row_rates(first.confusion), row_rates(second.confusion)
    apart = np.abs(np.nan_to_num(rates[0] - rates[1]))
    np.fill_diagonal(apart, 0)
    order = np.argsort(-apart, axis=None, kind="stable")[:number]
    places = (np.unravel_index(place, apart.shape) for place in order)
    return [
        Change(int(i), int(j), float(rates[0][i, j]), float(rates[1][i, j])) for i, j in places if apart[i, j] > 1e-12
    ]
