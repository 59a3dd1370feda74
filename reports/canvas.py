"""A picture drawn by Pillow: a hundred times cheaper than a figure of matplotlib's, for what is drawn once a run.

Lengths are in points, from the upper left corner; the fonts are those of :mod:`reports.style`.
"""

from __future__ import annotations

import io
import math
from functools import cache
from typing import Any, Literal

from matplotlib.font_manager import FontProperties, findfont, get_font
from PIL import Image, ImageDraw, ImageFont

from reports.style import families

SCALE = 1.9
"""Pixels to a point."""
Anchor = Literal["la", "lm", "ma", "mm", "rm"]
"""Pillow's: which place of the text is given, left, middle or right, and at its ascent or its middle."""


class Canvas:
    """A white picture of ``width`` × ``height`` points."""

    def __init__(self, width: float, height: float) -> None:
        self.image = Image.new("RGB", (_pixels(width), _pixels(height)), "white")
        self._draw = ImageDraw.Draw(self.image)

    def text(
        self, x: float, y: float, words: str, size: float, colour: str, *, bold: bool = False, anchor: Anchor = "la"
    ) -> None:
        """One line of text."""
        font = _font(words, size, bold)
        self._draw.text((x * SCALE, y * SCALE), words, colour, font, anchor)

    def turned(self, x: float, y: float, words: str, size: float, colour: str, angle: int) -> None:
        """One line of text, turned anticlockwise by ``angle`` degrees; the middle of its end is at ``x``, ``y``."""
        font = _font(words, size, False)
        length, height = _pixels(width(words, size)) + 2, _pixels(1.5 * size)
        mask = Image.new("L", (length, height))
        ImageDraw.Draw(mask).text((length - 1, height / 2), words, 255, font, "rm")
        mask = mask.rotate(angle, Image.Resampling.BICUBIC, expand=True)
        middle = length / 2 * math.cos(math.radians(angle)), length / 2 * math.sin(math.radians(angle))
        left, top = round(x * SCALE - middle[0] - mask.width / 2), round(y * SCALE + middle[1] - mask.height / 2)
        self.image.paste(colour, (left, top, left + mask.width, top + mask.height), mask)

    def cells(self, x: float, y: float, side: float, colours: Any) -> None:
        """A square of coloured cells (k, k, 3), uint8, in a thin frame."""
        cells = Image.fromarray(colours, "RGB").resize((_pixels(side), _pixels(side)), Image.Resampling.NEAREST)
        corner = round(x * SCALE), round(y * SCALE)
        self.image.paste(cells, corner)
        end = corner[0] + cells.width, corner[1] + cells.height
        self._draw.rectangle((corner[0] - 1, corner[1] - 1, *end), outline="#cccccc", width=2)

    def png(self) -> bytes:
        """The picture's bytes, the same for the same picture."""
        content = io.BytesIO()
        self.image.save(content, "PNG", compress_level=3)
        return content.getvalue()


def width(words: str, size: float, *, bold: bool = False) -> float:
    """Points that a line of text takes."""
    return _font(words, size, bold).getlength(words) / SCALE


def _font(words: str, size: float, bold: bool) -> ImageFont.FreeTypeFont:
    """The first font that has every character; else the first of all, which shows boxes."""
    needed = frozenset(map(ord, words))
    paths = _paths(bold)
    return _opened(next((path for path in paths if needed <= _characters(path)), paths[0]), size)


@cache
def _paths(bold: bool) -> tuple[str, ...]:
    weight = "bold" if bold else "normal"
    return tuple(str(findfont(FontProperties(family=[name], weight=weight))) for name in families())


@cache
def _characters(path: str) -> frozenset[int]:
    return frozenset(get_font(path).get_charmap())


@cache
def _opened(path: str, size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size * SCALE, layout_engine=ImageFont.Layout.BASIC)


def _pixels(points: float) -> int:
    return round(points * SCALE)
