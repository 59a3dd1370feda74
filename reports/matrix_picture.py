"""The confusion matrix of one run as a picture: what :mod:`reports.confusion` draws, in a few milliseconds.

A figure of matplotlib's takes a quarter of a second, as long as a short run trains; every run has one of these.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import MaxNLocator

from reports.canvas import Canvas, width
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
from reports.style import EMPTY, INK, SEQUENTIAL, SOFT
from reports.text import one_line

MARGIN, GAP = 8.0, 5.0
"""Points around the picture, and between its parts."""
TITLE, SMALL, LABEL = 11.0, 8.0, 9.0
"""Points of text."""
_COLOURS = (SEQUENTIAL.with_extremes(bad=EMPTY)(np.ma.masked_invalid([*np.linspace(0, 1, 256), np.nan]))[:, :3] * 255
            ).round().astype(np.uint8)  # fmt: skip
"""256 colours of a scale, then that of a class without images."""


@dataclass(frozen=True)
class _Place:
    """Where the cells are, in points: a square of ``side`` whose corner is (``left``, ``top``)."""

    left: float
    top: float
    side: float
    below: float

    def middle(self, index: int, classes: int) -> float:
        """From the corner to the middle of a row, or of a column."""
        return (index + 0.5) * self.side / classes


def confusion_png(confusion: Sequence[Sequence[int]] | npt.NDArray[Any], classes: Sequence[str], title: str) -> bytes:
    """A PNG.  ``confusion[i][j]`` counts true class i predicted as j, for the k names in ``classes``.

    Raises:
        ValueError: the matrix is not square, holds something else than counts, or has another size than ``classes``.
    """
    rates, names = rates_of(confusion, classes)
    shown, block = pooled(rates)
    heading, place = _layout(names, one_line(title, 90))
    panel = PANEL * 72 if len(names) > NUMBERS else 0.0
    widest = max(place.side, *(width(line, TITLE, bold=True) for line in heading), 0.0)
    widest = max(widest, width(note := subtitle(np.asarray(confusion)), SMALL))
    canvas = Canvas(place.left + widest + MARGIN + panel, place.top + place.side + place.below)
    _head(canvas, place, heading, note)
    canvas.cells(place.left, place.top, place.side, _coloured(shown))
    _name(canvas, place, names, block)
    if panel:
        _list(canvas, place.left + place.side + 2 * MARGIN, place.top, rates, names)
    else:
        _write(canvas, place, rates)
    return canvas.png()


def _layout(names: Sequence[str], title: str) -> tuple[list[str], _Place]:
    """The title's lines, and where the cells are, which depends on the names beside them."""
    k = len(names)
    longest = max(width(name, name_size(k)) for name in names) if k <= NAMES else width("1000", SMALL)
    side = (cell_side(k) * k if k <= NAMES else 7.0) * 72
    turned = {0: 1.3 * name_size(k), 40: 0.65 * longest + name_size(k), 90: longest}
    below = turned[name_angle(names)] if k <= NAMES else 1.3 * SMALL
    lines = textwrap.wrap(title, max(24, int(side / 6.6))) or [""]
    top = MARGIN + 1.4 * TITLE * len(lines) + 1.9 * SMALL
    return lines, _Place(MARGIN + 1.3 * LABEL + longest + 2 * GAP, top, side, below + 1.3 * LABEL + 2 * GAP + MARGIN)


def _head(canvas: Canvas, place: _Place, lines: Sequence[str], note: str) -> None:
    for index, line in enumerate(lines):
        canvas.text(place.left, MARGIN + 1.4 * TITLE * index, line, TITLE, INK, bold=True)
    canvas.text(place.left, MARGIN + 1.4 * TITLE * len(lines), note, SMALL, SOFT)


def _coloured(rates: Floats) -> npt.NDArray[np.uint8]:
    """Cells (k, k) as colours (k, k, 3)."""
    index = np.where(np.isnan(rates), 256, np.round(255 * np.nan_to_num(rates) ** GAMMA))
    found: npt.NDArray[np.uint8] = _COLOURS[index.astype(int)]
    return found


def _name(canvas: Canvas, place: _Place, names: Sequence[str], block: int) -> None:
    """The classes beside their rows and under their columns, and what rows and columns are."""
    k = len(names)
    size, angle = (name_size(k), name_angle(names)) if k <= NAMES else (SMALL, 0)
    ticks = range(k) if k <= NAMES else [int(tick) for tick in MaxNLocator(10, integer=True).tick_values(0, k - 1)]
    bottom = place.top + place.side + GAP
    for index in (tick for tick in ticks if 0 <= tick < k):
        words, middle = names[index] if k <= NAMES else str(index), place.middle(index, k)
        canvas.text(place.left - GAP, place.top + middle, words, size, INK, anchor="rm")
        if angle:
            canvas.turned(place.left + middle, bottom + 1, words, size, INK, angle)
        else:
            canvas.text(place.left + middle, bottom, words, size, INK, anchor="ma")
    columns = "predicted" if block == 1 else f"predicted (class number; a cell is the largest of {block} × {block})"
    end = place.top + place.side + place.below - MARGIN - 1.3 * LABEL
    canvas.text(place.left + place.side / 2, end, columns, LABEL, SOFT, anchor="ma")
    canvas.turned(MARGIN + LABEL / 2, place.top + (place.side - width("true", LABEL)) / 2, "true", LABEL, SOFT, 90)


def _write(canvas: Canvas, place: _Place, rates: Floats) -> None:
    """A number in each cell, ``no images`` across an empty row."""
    k = len(rates)
    for i, row in enumerate(rates):
        y = place.top + place.middle(i, k)
        if np.isnan(row).any():
            canvas.text(place.left + place.side / 2, y, "no images", number_size(k), SOFT, anchor="mm")
            continue
        for j, rate in enumerate(row.tolist()):
            found, x = number(rate, i == j), place.left + place.middle(j, k)
            if found.text:
                canvas.text(x, y, found.text, number_size(k), found.colour, bold=found.bold, anchor="mm")


def _list(canvas: Canvas, left: float, top: float, rates: Floats, names: Sequence[str]) -> None:
    """The largest confusions, in words."""
    canvas.text(left, top, "Most confused", 10, INK, bold=True)
    for place, pair in enumerate(hardest(rates, LISTED)):
        numbers = (f"{pair.true} ", f"{pair.predicted} ") if len(names) > NAMES else ("", "")
        y = top + 20 + 29 * place
        canvas.text(left, y, f"{pair.rate * 100:.0f}%", 9, INK, bold=True)
        canvas.text(left + 32, y, f"{numbers[0]}{names[pair.true]}", SMALL, INK)
        canvas.text(left + 32, y + 11, f"→ {numbers[1]}{names[pair.predicted]}", SMALL, INK)
