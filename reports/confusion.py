"""The confusion matrix as a figure, legible from 2 to 1,000 classes; :mod:`reports.rates` says what it shows."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter

from reports.rates import (
    GAMMA,
    LISTED,
    NAMES,
    NUMBERS,
    PANEL,
    Floats,
    cell_side,
    hardest,
    name_angle,
    name_size,
    number,
    number_size,
    pooled,
    rates_of,
    subtitle,
)
from reports.style import EMPTY, SEQUENTIAL, SOFT, new_figure, settle, styled
from reports.text import one_line


def confusion_figure(
    confusion: Sequence[Sequence[int]] | npt.NDArray[Any], classes: Sequence[str], title: str
) -> Figure:
    """``confusion[i][j]`` counts true class i predicted as j, for the k names in ``classes``.

    Raises:
        ValueError: the matrix is not square, holds something else than counts, or has another size than ``classes``.
    """
    rates, names = rates_of(confusion, classes)
    with styled():
        figure, axes, panel = _canvas(names)
        _draw(figure, axes, panel, rates, names)
        lines = textwrap.wrap(one_line(title, 90), int(axes.get_position().width * figure.get_figwidth() * 9)) or [""]
        axes.set_title("\n".join([*lines, ""]), loc="left")
        axes.annotate(
            subtitle(np.asarray(confusion)), (0, 1), (0, 7), "axes fraction",
            textcoords="offset points", fontsize=8, color=SOFT,
        )  # fmt: skip
        settle(figure)
        return figure


def _canvas(names: Sequence[str]) -> tuple[Figure, Axes, Axes | None]:
    """Room for the cells, the names beside them, and a panel at the right where cells have no numbers."""
    k = len(names)
    side = cell_side(k) * k if k <= NAMES else 7.0
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
    shown, block = pooled(rates)
    edges = (-0.5, k - 0.5, k - 0.5, -0.5)
    colours = SEQUENTIAL.with_extremes(bad=EMPTY)
    norm = PowerNorm(GAMMA, 0, 1)
    image = axes.imshow(np.ma.masked_invalid(shown), cmap=colours, norm=norm, interpolation="nearest", extent=edges)
    axes.set_xlabel(
        "predicted" if block == 1 else f"predicted (class number; a cell is the largest of {block} × {block})"
    )
    axes.set_ylabel("true")
    frame(axes)
    name_axes(axes, names)
    if panel is None:
        write_numbers(axes, rates)
    else:
        _fill(panel, rates, names)
        _scale(figure, panel, image)


def frame(axes: Axes) -> None:
    """A thin line around the cells."""
    axes.grid(False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#cccccc")


def name_axes(axes: Axes, names: Sequence[str]) -> None:
    """The classes beside their rows and under their columns; their numbers where there are too many."""
    k = len(names)
    axes.tick_params(length=0)
    if k > NAMES:
        axes.locator_params(nbins=10, integer=True)
        return
    axes.set_yticks(range(k), names, fontsize=name_size(k))
    angle = name_angle(names)
    turned: dict[str, Any] = {"rotation": angle} | ({"ha": "right", "rotation_mode": "anchor"} if angle == 40 else {})
    axes.set_xticks(range(k), names, fontsize=name_size(k), **(turned if angle else {}))


def write_numbers(axes: Axes, rates: Floats) -> None:
    """A number in each cell, ``no images`` across an empty row."""
    size = number_size(len(rates))
    for i, row in enumerate(rates):
        if np.isnan(row).any():
            axes.text((len(row) - 1) / 2, i, "no images", ha="center", va="center", fontsize=size, color=SOFT)
            continue
        for j, rate in enumerate(row):
            found = number(rate, i == j)
            weight = "bold" if found.bold else "normal"
            axes.text(j, i, found.text, ha="center", va="center", fontsize=size, color=found.colour, weight=weight)


def _fill(panel: Axes, rates: Floats, names: Sequence[str]) -> None:
    """The largest confusions, in words."""
    panel.axis("off")
    at(panel, 0, 0, "Most confused", weight="bold", fontsize=10)
    for place, pair in enumerate(hardest(rates, LISTED)):
        numbers = (f"{pair.true} ", f"{pair.predicted} ") if len(names) > NAMES else ("", "")
        at(panel, 0, 20 + 29 * place, f"{pair.rate * 100:.0f}%", weight="bold", fontsize=9)
        text = f"{numbers[0]}{names[pair.true]}\n→ {numbers[1]}{names[pair.predicted]}"
        at(panel, 32, 20 + 29 * place, text, fontsize=8, linespacing=1.3)


def at(panel: Axes, right: float, down: float, text: str, **style: Any) -> None:
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
