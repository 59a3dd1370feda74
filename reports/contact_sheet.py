"""Some images of each class, as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from reports.canvas import SCALE, Canvas, width
from reports.style import INK, SOFT
from reports.text import one_line

SIDE, GAP, MARGIN, SIZE = 44.0, 4.0, 10.0, 9.0
"""Points: of an image, between images, around all, of the names."""
LONGEST = 28


def contact_sheet(rows: Mapping[str, Sequence[npt.NDArray[np.uint8]]], columns: int) -> bytes:
    """A PNG with a row for each class: its name, then its images, whole and in their own proportions.

    Args:
        rows: class -> images, uint8 (height, width, 1 or 3).
        columns: as many as a row has room for.
    """
    names = [one_line(name, LONGEST) for name in rows]
    left = MARGIN + max((width(name, SIZE) for name in names), default=0.0) + 2 * GAP
    canvas = Canvas(left + columns * (SIDE + GAP) + MARGIN, 2 * MARGIN + len(rows) * (SIDE + GAP))
    for place, (name, images) in enumerate(zip(names, rows.values(), strict=True)):
        top = MARGIN + place * (SIDE + GAP)
        canvas.text(MARGIN, top + SIDE / 2, name, SIZE, INK if images else SOFT, anchor="lm")
        for column, pixels in enumerate(images[:columns]):
            _paste(canvas, left + column * (SIDE + GAP), top, pixels)
    return canvas.png()


def _paste(canvas: Canvas, x: float, y: float, pixels: npt.NDArray[np.uint8]) -> None:
    """Large images are made smaller; small ones keep their pixels sharp."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    side = round(SIDE * SCALE)
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    image = image.resize(size, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS)
    corner = round(x * SCALE) + (side - size[0]) // 2, round(y * SCALE) + (side - size[1]) // 2
    canvas.image.paste(image, corner)
