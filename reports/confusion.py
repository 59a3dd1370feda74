"""The confusion matrix, legible from 2 to 1,000 classes.

Rows are true classes and sum to 100%.  Up to 20 classes each cell has its number; up to 120 each class has its name;
beyond, neighbouring classes share a cell that shows the largest rate among them, so that no confusion fades away.
Where cells have no numbers, the largest confusions are listed at the side.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter

from reports.style import EMPTY, INK, SEQUENTIAL, SOFT, new_figure, settle, styled
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


def confusion_figure(
    confusion: Sequence[Sequence[int]] | npt.NDArray[Any], classes: Sequence[str], title: str
) -> Figure:
    """``confusion[i][j]`` counts true class i predicted as j, for the k names in ``classes``.

    Raises:
        ValueError: the matrix is not square, holds something else than counts, or has another size than ``classes``.
    """
    rates = row_rates(confusion)
    if len(rates) != len(classes):
        raise ValueError(f"a confusion matrix of {len(rates)} classes, but {len(classes)} names")
    names = [one_line(name, 22) or "(empty)" for name in classes]
    with styled():
        figure, axes, panel = _canvas(rates, names)
        _draw(figure, axes, panel, rates, names)
        lines = textwrap.wrap(one_line(title, 90), int(axes.get_position().width * figure.get_figwidth() * 9)) or [""]
        axes.set_title("\n".join([*lines, ""]), loc="left")
        axes.annotate(
            _subtitle(rates, np.asarray(confusion)), (0, 1), (0, 7), "axes fraction",
            textcoords="offset points", fontsize=8, color=SOFT,
        )  # fmt: skip
        settle(figure)
        return figure


def _canvas(rates: Floats, names: Sequence[str]) -> tuple[Figure, Axes, Axes | None]:
    """Room for the cells, the names beside them, and a panel at the right where cells have no numbers."""
    k = len(names)
    cell = min(1.1, max(0.44, 4.4 / k)) if k <= NUMBERS else max(6.5 / k, 0.1)
    side = cell * k if k <= NAMES else 7.0
    words = 0.075 * max(map(len, names)) if k <= NAMES else 0.4
    width = max(side + words + 0.6, 3.6)
    height = side + (words if k > 4 else 0.3) + 0.9
    if k <= NUMBERS:
        figure = new_figure(width, height)
        return figure, figure.add_subplot(), None
    figure = new_figure(width + PANEL, height)
    axes, panel = figure.subplots(1, 2, width_ratios=[width, PANEL])
    return figure, axes, panel


def _draw(figure: Figure, axes: Axes, panel: Axes | None, rates: Floats, names: Sequence[str]) -> None:
    k = len(names)
    shown, block = _pooled(rates)
    edges = (-0.5, k - 0.5, k - 0.5, -0.5)
    colours = SEQUENTIAL.with_extremes(bad=EMPTY)
    norm = PowerNorm(GAMMA, 0, 1)
    image = axes.imshow(np.ma.masked_invalid(shown), cmap=colours, norm=norm, interpolation="nearest", extent=edges)
    axes.set_xlabel(
        "predicted" if block == 1 else f"predicted (class number; a cell is the largest of {block} × {block})"
    )
    axes.set_ylabel("true")
    _frame(axes)
    _ticks(axes, names)
    if panel is None:
        _write_numbers(axes, rates)
    else:
        _fill(panel, rates, names)
        _scale(figure, panel, image)


def _frame(axes: Axes) -> None:
    axes.grid(False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#cccccc")


def _pooled(rates: Floats) -> tuple[Floats, int]:
    """At most ``CELLS`` cells a side, each the largest rate of its block."""
    block = -(-len(rates) // CELLS)
    if block == 1:
        return rates, 1
    padding = -len(rates) % block
    padded = np.pad(np.nan_to_num(rates, nan=-1), ((0, padding), (0, padding)), constant_values=-1)
    cells = len(padded) // block
    pooled = padded.reshape(cells, block, cells, block).max(axis=(1, 3))
    return np.where(pooled < 0, np.nan, pooled), block


def _ticks(axes: Axes, names: Sequence[str]) -> None:
    k = len(names)
    axes.tick_params(length=0)
    if k > NAMES:
        axes.locator_params(nbins=10, integer=True)
        return
    size = 9 if k <= 12 else 8 if k <= 30 else 6.5 if k <= 60 else 5
    axes.set_yticks(range(k), names, fontsize=size)
    longest = max(map(len, names))
    if longest <= (12 if k <= 4 else 4 if k <= 12 else 2):
        axes.set_xticks(range(k), names, fontsize=size)
    elif k <= NUMBERS:
        axes.set_xticks(range(k), names, fontsize=size, rotation=40, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks(range(k), names, fontsize=size, rotation=90)


def _write_numbers(axes: Axes, rates: Floats) -> None:
    """Whole per cents; a dot for less than a half, nothing for nothing, ``no images`` across an empty row."""
    size = 11 if len(rates) <= 4 else 9 if len(rates) <= 12 else 7.5
    for i, row in enumerate(rates):
        if np.isnan(row).any():
            axes.text((len(row) - 1) / 2, i, "no images", ha="center", va="center", fontsize=size, color=SOFT)
            continue
        for j, rate in enumerate(row):
            colour = "white" if rate**GAMMA > 0.55 else INK if i == j or rate >= 0.05 else SOFT
            text = number if (number := f"{rate * 100:.0f}") != "0" else "·" if rate > 0 else ""
            weight = "bold" if i == j else "normal"
            axes.text(j, i, text, ha="center", va="center", fontsize=size, color=colour, weight=weight)


def _fill(panel: Axes, rates: Floats, names: Sequence[str]) -> None:
    """The largest confusions, in words."""
    panel.axis("off")
    _at(panel, 0, 0, "Most confused", weight="bold", fontsize=10)
    for place, pair in enumerate(hardest(rates, LISTED)):
        numbers = (f"{pair.true} ", f"{pair.predicted} ") if len(names) > NAMES else ("", "")
        _at(panel, 0, 20 + 29 * place, f"{pair.rate * 100:.0f}%", weight="bold", fontsize=9)
        text = f"{numbers[0]}{names[pair.true]}\n→ {numbers[1]}{names[pair.predicted]}"
        _at(panel, 32, 20 + 29 * place, text, fontsize=8, linespacing=1.3)


def _at(panel: Axes, right: float, down: float, text: str, **style: Any) -> None:
    """Text at a distance, in points, from the panel's upper left corner."""
    panel.annotate(
        text, (0, 1), (right, -down), "axes fraction", textcoords="offset points", va="top", in_layout=False, **style
    )


def _scale(figure: Figure, panel: Axes, image: AxesImage) -> None:
    bar = figure.colorbar(
        image, cax=panel.inset_axes((0, 0.02, 0.8, 0.02)), orientation="horizontal", ticks=[0, 0.05, 0.2, 0.5, 1]
    )
    bar.ax.xaxis.set_major_formatter(PercentFormatter(1, 0))
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)


def _subtitle(rates: Floats, counts: npt.NDArray[Any]) -> str:
    total = int(counts.sum())
    if not total:
        return "no images"
    return f"% of each true class · {counts.trace() / total * 100:.1f}% right of {total:,}"
