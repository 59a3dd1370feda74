"""Two confusion matrices and their difference as one figure, legible from 2 to 1,000 classes.

The difference has its own scale, purple where the first has more and orange where the second has: the two ends stay
apart for people with every kind of colour blindness.  Up to 20 classes the three stand in a row and cells have numbers;
beyond, they stand two by two, and what changed most is listed beside the difference.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, PowerNorm
from matplotlib.figure import Figure

from reports.answers import Answers
from reports.changed import Change, difference_of, largest
from reports.confusion import at, frame, name_axes, write_numbers
from reports.rates import (
    CELLS,
    GAMMA,
    LISTED,
    NAMES,
    NUMBERS,
    Floats,
    name_angle,
    name_size,
    number_size,
    pooled,
    rates_of,
    subtitle,
)
from reports.style import EMPTY, INK, SEQUENTIAL, SOFT, new_figure, settle, styled
from reports.text import one_line

DIVERGING = LinearSegmentedColormap.from_list(
    "benchmark difference",
    ["#7f3b08", "#c06f14", "#f0b060", "#fbe3c4", "#ffffff", "#dfe3f3", "#a9a7d8", "#5f53a5", "#2d1b6b"],
)
LEAST = 0.05
"""A difference that has the full colour, where none is larger."""


def confusion_pair_figure(first: Answers, second: Answers, classes: Sequence[str], titles: tuple[str, str]) -> Figure:
    """Of answers to the same images; ``titles`` are what the two are called.

    Raises:
        ValueError: the matrices are of another number of classes than there are names.
    """
    rates, names = rates_of(first.confusion, classes)
    others, _ = rates_of(second.confusion, classes)
    with styled():
        figure, axes, panel = _canvas(names)
        for place, (own, counts) in zip(axes[:2], ((rates, first.confusion), (others, second.confusion)), strict=True):
            _draw(place, own, names, subtitle(counts))
        _draw_difference(axes[2], difference_of(first, second), names, panel)
        _title(axes, titles, len(names))
        if panel is not None:
            _list(panel, largest(first, second, LISTED), names)
        settle(figure)
    return figure


def _canvas(names: Sequence[str]) -> tuple[Figure, Sequence[Axes], Axes | None]:
    k, side = len(names), _side(len(names))
    words = (0.009 * name_size(k) * max(map(len, names)) if k <= NAMES else 0.4) + 0.4
    if k <= NUMBERS:
        below = 0.7 * words if name_angle(names) else 0.3
        figure = new_figure(3 * (side + words), side + below + 1.1)
        return figure, list(figure.subplots(1, 3)), None
    figure = new_figure(2 * (side + words), 2 * (side + words + 0.6))
    flat = figure.subplots(2, 2).ravel()
    return figure, list(flat[:3]), flat[3]


def _side(k: int) -> float:
    """Inches of a matrix."""
    if k <= NUMBERS:
        return max(3.2, 0.37 * k)
    return max(6.2, 0.085 * k) if k <= NAMES else 7.0


def _draw(axes: Axes, rates: Floats, names: Sequence[str], note: str) -> None:
    shown, block = pooled(rates)
    colours = SEQUENTIAL.with_extremes(bad=EMPTY)
    axes.imshow(np.ma.masked_invalid(shown), cmap=colours, norm=PowerNorm(GAMMA, 0, 1), **_placed(len(names)))
    _label(axes, names, block)
    axes.text(0, 1.015, note, transform=axes.transAxes, fontsize=8, color=SOFT, va="bottom")
    if len(names) <= NUMBERS:
        write_numbers(axes, rates)


def _draw_difference(axes: Axes, apart: Floats, names: Sequence[str], panel: Axes | None) -> None:
    """Colours are stretched as those of the matrices are, so that small changes show."""
    limit = max(LEAST, float(np.abs(np.nan_to_num(apart)).max()))
    shown, block = _pooled(apart)
    stretched = np.sign(shown) * (np.abs(shown) / limit) ** GAMMA
    colours, norm = DIVERGING.with_extremes(bad=EMPTY), Normalize(-1, 1)
    axes.imshow(np.ma.masked_invalid(stretched), cmap=colours, norm=norm, **_placed(len(names)))
    _label(axes, names, block)
    axes.text(0, 1.015, "in points · purple: more in A · orange: more in B", transform=axes.transAxes, fontsize=8,
              color=SOFT, va="bottom")  # fmt: skip
    if panel is None:
        _write_differences(axes, apart, limit)
    else:
        _scale(panel, limit, ScalarMappable(norm, colours))


def _placed(k: int) -> dict[str, Any]:
    return {"interpolation": "nearest", "extent": (-0.5, k - 0.5, k - 0.5, -0.5)}


def _label(axes: Axes, names: Sequence[str], block: int) -> None:
    cells = "" if block == 1 else f" (class number; a cell is the largest of {block} × {block})"
    axes.set_xlabel(f"predicted{cells}")
    axes.set_ylabel("true")
    frame(axes)
    name_axes(axes, names)


def _pooled(apart: Floats) -> tuple[Floats, int]:
    """As :func:`reports.rates.pooled`, by the size of the difference."""
    if len(apart) <= CELLS:
        return apart, 1
    more, block = pooled(np.where(apart > 0, apart, np.where(np.isnan(apart), np.nan, 0)))
    less, _ = pooled(np.where(apart < 0, -apart, np.where(np.isnan(apart), np.nan, 0)))
    return np.where(np.nan_to_num(more) >= np.nan_to_num(less), more, -less), block


def _write_differences(axes: Axes, apart: Floats, limit: float) -> None:
    """Whole points with their sign; a dot for less than a half, nothing for nothing."""
    size = number_size(len(apart))
    for i, row in enumerate(apart):
        for j, value in enumerate(row.tolist()):
            if np.isnan(value) or value == 0:
                continue
            whole = f"{abs(value) * 100:.0f}"
            text = "·" if whole == "0" else f"{'−' if value < 0 else '+'}{whole}"
            colour = "white" if (abs(value) / limit) ** GAMMA > 0.7 else INK
            axes.text(j, i, text, ha="center", va="center", fontsize=size, color=colour)


def _title(axes: Sequence[Axes], titles: tuple[str, str], k: int) -> None:
    for place, title in zip(axes, (f"A: {titles[0]}", f"B: {titles[1]}", "A − B"), strict=True):
        lines = textwrap.wrap(one_line(title, 90), int(_side(k) * 9.5)) or [""]
        place.set_title("\n".join([*lines, ""]), loc="left")


def _list(panel: Axes, changes: Sequence[Change], names: Sequence[str]) -> None:
    panel.axis("off")
    at(panel, 20, 0, "Changed most: A, B", weight="bold", fontsize=10)
    for place, each in enumerate(changes):
        numbers = (f"{each.true} ", f"{each.predicted} ") if len(names) > NAMES else ("", "")
        at(panel, 20, 22 + 29 * place, f"{each.first * 100:.0f}%  {each.second * 100:.0f}%", weight="bold", fontsize=9)
        text = f"{numbers[0]}{names[each.true]}\n→ {numbers[1]}{names[each.predicted]}"
        at(panel, 92, 22 + 29 * place, text, fontsize=8, linespacing=1.3)


def _scale(panel: Axes, limit: float, colours: ScalarMappable) -> None:
    shares = np.array([-1, -0.5, -0.1, 0, 0.1, 0.5, 1])
    place = np.sign(shares) * np.abs(shares) ** GAMMA
    bar = panel.figure.colorbar(colours, cax=panel.inset_axes((0.05, 0.02, 0.7, 0.02)), orientation="horizontal")
    bar.set_ticks(
        list(place), labels=[f"{share * limit * 100:+.0f}".replace("-", "−") if share else "0" for share in shares]
    )
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)
