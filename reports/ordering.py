"""An order of classes in which those that are taken for each other stand together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reports.rates import row_rates

OPTIMAL = 120
"""Classes up to which the leaves of the tree are put into the best order, whose cost grows with their fourth power."""


def clustered(confusions: Sequence[npt.NDArray[np.int64]]) -> list[int]:
    """Indices of the classes, by average-linkage clustering of how often two classes are confused, either way, in all
    the matrices (k, k) together."""
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering

    rates = np.nan_to_num(row_rates(np.sum(confusions, axis=0)))
    k = len(rates)
    if k < 3:
        return list(range(k))
    upper = np.triu_indices(k, 1)
    distance = 1 - (rates + rates.T)[upper] / 2
    tree = linkage(distance, "average")
    return [int(each) for each in leaves_list(optimal_leaf_ordering(tree, distance) if k <= OPTIMAL else tree)]
