"""A confusion matrix in numbers and words: what every drawing of it has in common.

Rows are true classes and sum to 100%.  Up to 20 classes each cell has its number; up to 120 each class has its name;
beyond, neighbouring classes share a cell that shows the largest rate among them, so that no confusion fades away.
Where cells have no numbers, the largest confusions are listed at the side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reports.style import INK, SOFT
from reports.text import one_line

NUMBERS, NAMES, CELLS = 20, 120, 250
"""The most classes that have numbers, names, and cells of their own."""
LISTED = 12
PANEL = 2.6
"""Width of the list, in inches."""
GAMMA = 0.6
"""Of the colour scale: rare confusions stay visible beside a full diagonal."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Class ``true`` taken for ``predicted`` (indices), as a share of the true class's images."""

    true: int
    predicted: int
    rate: float


def row_rates(confusion: Sequence[Sequence[int]] | npt.NDArray[Any]) -> Floats:
    """Each row of counts (k, k) as shares of its sum, float64; a class without images is a row of NaN.

    Raises:
        ValueError: not a square matrix of counts.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"a confusion matrix is square; got the shape {counts.shape}")
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError("a confusion matrix holds counts; got a negative or non-finite value")
    sums = counts.sum(axis=1, keepdims=True)
    rates: Floats = np.divide(counts, sums, out=np.full_like(counts, np.nan), where=sums > 0)
    return rates


def hardest(rates: Floats, number: int) -> list[Pair]:
    """The largest off-diagonal rates, largest first; zeros are none."""
    off = np.nan_to_num(rates)
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:number]
    pairs = (np.unravel_index(index, off.shape) for index in order)
    return [Pair(int(i), int(j), float(off[i, j])) for i, j in pairs if off[i, j] > 0]


def rates_of(
    confusion: Sequence[Sequence[int]] | npt.NDArray[Any], classes: Sequence[str]
) -> tuple[Floats, tuple[str, ...]]:
    """The rates of a matrix, and the names of its classes as a figure has room for them.

    Raises:
        ValueError: as :func:`row_rates`, or the matrix has another size than ``classes``.
    """
    rates = row_rates(confusion)
    if len(rates) != len(classes):
        raise ValueError(f"a confusion matrix of {len(rates)} classes, but {len(classes)} names")
    return rates, tuple(one_line(name, 22) or "(empty)" for name in classes)


def pooled(rates: Floats) -> tuple[Floats, int]:
    """At most ``CELLS`` cells a side, each the largest rate of its block, and the block's side."""
    block = -(-len(rates) // CELLS)
    if block == 1:
        return rates, 1
    padding = -len(rates) % block
    padded = np.pad(np.nan_to_num(rates, nan=-1), ((0, padding), (0, padding)), constant_values=-1)
    cells = len(padded) // block
    pooled = padded.reshape(cells, block, cells, block).max(axis=(1, 3))
    return np.where(pooled < 0, np.nan, pooled), block


@dataclass(frozen=True)
class Number:
    """What a cell says."""

    text: str
    colour: str
    bold: bool


def number(rate: float, diagonal: bool) -> Number:
    """Whole per cents; a dot for less than a half, nothing for nothing."""
    colour = "white" if rate**GAMMA > 0.55 else INK if diagonal or rate >= 0.05 else SOFT
    text = whole if (whole := f"{rate * 100:.0f}") != "0" else "·" if rate > 0 else ""
    return Number(text, colour, diagonal)


def number_size(classes: int) -> float:
    """Points of a cell's number."""
    return 11 if classes <= 4 else 9 if classes <= 12 else 7.5


def name_size(classes: int) -> float:
    """Points of a class's name beside its row."""
    return 9 if classes <= 12 else 8 if classes <= 30 else 6.5 if classes <= 60 else 5


def name_angle(names: Sequence[str]) -> int:
    """Degrees by which the names under the columns are turned, so that they do not meet."""
    k, longest = len(names), max(map(len, names))
    if longest <= (12 if k <= 4 else 4 if k <= 12 else 2):
        return 0
    return 40 if k <= NUMBERS else 90


def cell_side(classes: int) -> float:
    """Inches of a cell that may have a number or a name beside it."""
    return min(1.1, max(0.44, 4.4 / classes)) if classes <= NUMBERS else max(6.5 / classes, 0.1)


def subtitle(counts: npt.NDArray[Any]) -> str:
    """How to read the numbers, and the accuracy."""
    total = int(counts.sum())
    if not total:
        return "no images"
    return f"% of each true class · {counts.trace() / total * 100:.1f}% right of {total:,}"
