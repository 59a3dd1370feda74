"""Places for labels, so that they cover neither each other nor the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, y upwards."""

    x0: float
    y0: float
    x1: float
    y1: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(width, 0.0) * max(height, 0.0)

    def distance(self, x: float, y: float) -> float:
        """From a point to the nearest edge; 0 inside."""
        return math.hypot(max(self.x0 - x, 0, x - self.x1), max(self.y0 - y, 0, y - self.y1))

    def outside(self, other: Box) -> float:
        """The area of this one that ``other`` does not cover."""
        return (self.x1 - self.x0) * (self.y1 - self.y0) - self.overlap(other)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions at least ``gap`` apart, in the order of ``wanted`` and near it, inside low..high while there is room.

    Neighbours that are too near move apart as a block around their mean (pooling of adjacent violators), which gives
    the smallest sum of squared moves.
    """
    if len(wanted) > 1:
        gap = min(gap, (high - low) / (len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[list[float]] = []
    for place, index in enumerate(order):
        blocks.append([wanted[index] - place * gap])
        while len(blocks) > 1 and _mean(blocks[-2]) > _mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    starts = [_mean(block) for block in blocks for _ in block]
    limit = high - (len(wanted) - 1) * gap
    result = [0.0] * len(wanted)
    for place, index in enumerate(order):
        result[index] = min(max(starts[place], low), limit) + place * gap
    return result


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Box],
    inside: Box,
    radius: float,
) -> list[tuple[float, float] | None]:
    """The lower left corner of each label, or ``None`` where nothing is free.

    Greedy, in the order given: of places around the point, nearest first, the first that is free of the labels placed
    so far, of ``obstacles`` and of the border of ``inside``, and that is nearer to its own point than to any other;
    else the first that is free at least ``TIED`` radii away, where a line has to tie it to its point.

    Args:
        points: pixels.
        sizes: width and height of each label, pixels.
        obstacles: what may not be covered: the points' markers among them.
        inside: where labels may lie.
        radius: distance of the nearest place from its point, pixels.
    """
    taken = list(obstacles)
    corners: list[tuple[float, float] | None] = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        places = [(far, _box(x, y, width, height, side, radius * far)) for far in _DISTANCES for side in _SIDES]
        there = [(far, box) for far, box in places if _free(box, taken, inside)]
        clear = (box for _, box in there if _unmistakable(box, (x, y), points))
        free = next(clear, None) or next((box for far, box in there if far >= TIED), None)
        corners.append((free.x0, free.y0) if free else None)
        if free:
            taken.append(free)
    return corners


TIED = 2.8
_DISTANCES = (1, 1.8, TIED, 4, 5.5, 8, 11)
_BESIDE = ((1, 0), (-1, 0), (0, 1), (0, -1))
_DIAGONAL = ((0.75, 0.75), (0.75, -0.75), (-0.75, 0.75), (-0.75, -0.75))
_SIDES = (*_BESIDE, *_DIAGONAL, (0.95, 0.35), (0.95, -0.35), (-0.95, 0.35), (-0.95, -0.35))


def _box(x: float, y: float, width: float, height: float, side: tuple[float, float], distance: float) -> Box:
    """A label at a side of its point, the nearer edge ``distance`` away; above or below it is centred."""
    x0 = x + side[0] * distance - (width if side[0] < 0 else width / 2 if side[0] == 0 else 0)
    y0 = y + side[1] * distance - (height if side[1] < 0 else height / 2 if side[1] == 0 else 0)
    return Box(x0, y0, x0 + width, y0 + height)


def _free(box: Box, taken: Sequence[Box], inside: Box) -> bool:
    return box.outside(inside) < 1e-6 and all(box.overlap(other) == 0 for other in taken)


def _unmistakable(box: Box, own: tuple[float, float], points: Sequence[tuple[float, float]]) -> bool:
    return all(box.distance(*other) > 1.2 * box.distance(*own) for other in points if other != own)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
