"""Quality against cost: a point for each configuration, named, and the line of those that nothing beats in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from reports.metrics import better, metric
from reports.placing import Box, place_labels
from reports.style import INK, SOFT, Look, looks, new_figure, settle, styled
from reports.text import one_line

Pixel = tuple[float, float]
NEAR = 8
"""Distance of a label from its point, in typographic points."""
NAMED = 40
"""Points that have their colour and their name; further ones are grey."""
REST = "#cccccc"
LOG_FROM = 8.0
"""Largest cost over smallest, from which the axis of costs is logarithmic."""


@dataclass(frozen=True)
class Point:
    """A configuration: ``x`` its cost and ``y`` its quality, as recorded (fractions, not per cent); ``bar`` is how far
    the interval of ``y`` reaches below and above it."""

    label: str
    model: str
    x: float
    y: float
    bar: tuple[float, float] | None = None


def front(points: Sequence[Point], *, higher: bool = True) -> list[Point]:
    """The points that no other beats in quality at the same or a lower cost, by rising cost."""
    sign = 1 if higher else -1
    kept: list[Point] = []
    for point in sorted(points, key=lambda each: (each.x, -sign * each.y)):
        if not kept or sign * point.y > sign * kept[-1].y:
            kept.append(point)
    return kept


def pareto_figure(
    points: Sequence[Point],
    *,
    x: str = "cost/train_seconds",
    y: str = "test/accuracy",
    title: str = "",
    styles: Mapping[str, Look] | None = None,
) -> Figure:
    """Quality ``y`` over cost ``x`` (metric names; a lower cost is better); bars are 95% intervals.

    Args:
        points: at least one, the best first.
        x: the cost's metric.
        y: the quality's metric.
        title: above the figure; by default the two metrics.
        styles: label -> its look; by default a model's.
    """
    given = looks(sorted({point.model for point in points}))
    styles = styles or {point.label: given[point.model] for point in points}
    quality, cost = metric(y), metric(x)
    higher = better(y) == "higher"
    with styled():
        figure = new_figure(7.2, 4.4)
        axes = figure.add_subplot()
        axes.set_title(one_line(title or f"{_capital(quality.words)} against {cost.words}", 90))
        axes.set_xlabel(f"{cost.words} (less is better)")
        axes.set_ylabel(f"{quality.words}, %" if quality.points else quality.words)
        _scale(axes, [point.x for point in points])
        _draw_front(axes, [(each.x, quality.scaled(each.y)) for each in front(points, higher=higher)])
        rest = points[NAMED:]
        axes.plot([each.x for each in rest], [quality.scaled(each.y) for each in rest], ".", color=REST, zorder=0)
        for point in points[:NAMED]:
            look, bar = styles[point.label], [[quality.scaled(each)] for each in point.bar or ()] or None
            axes.errorbar(
                point.x, quality.scaled(point.y), bar, color=look.colour, marker=look.marker, ms=8, mec="white",
                mew=0.8, elinewidth=1.2, zorder=3,
            )  # fmt: skip
        _name_points(figure, axes, [(each, each.x, quality.scaled(each.y)) for each in points[:NAMED]])
        return figure


def _scale(axes: Axes, costs: Sequence[float]) -> None:
    if min(costs) > 0 and max(costs) / min(costs) >= LOG_FROM:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.margins(x=0.12, y=0.12)


def _draw_front(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Steps: up to the next point's cost, nothing is better than the last one."""
    axes.plot(*zip(*points, strict=True), color="#c4c4c4", lw=1.4, drawstyle="steps-post", zorder=1)


def _name_points(figure: Figure, axes: Axes, points: Sequence[tuple[Point, float, float]]) -> None:
    """Labels where there is room; the better a configuration, the earlier it gets its place."""
    texts = [
        axes.annotate(
            one_line(point.label, 40), (x, y), (0, 0), textcoords="offset points", fontsize=8.5, color=INK, zorder=4,
            in_layout=False, arrowprops={"arrowstyle": "-", "color": SOFT, "lw": 0.6, "shrinkA": 0, "shrinkB": 5},
        )
        for point, x, y in points
    ]  # fmt: skip
    settle(figure)
    scale = figure.dpi / 72
    pixels = [_pixel(axes, x, y) for _, x, y in points]
    extents = [Text.get_window_extent(text) for text in texts]
    sizes = [(each.width, each.height) for each in extents]
    inside = _inside(axes.get_window_extent())
    corners = place_labels(pixels, sizes, _obstacles(axes, scale), inside, NEAR * scale)
    for text, corner, extent, pixel in zip(texts, corners, extents, pixels, strict=True):
        if corner is None:
            text.set_visible(False)
            continue
        text.set_position(((corner[0] - extent.x0) / scale, (corner[1] - extent.y0) / scale))
        box = Box(*corner, corner[0] + extent.width, corner[1] + extent.height)
        assert text.arrow_patch is not None
        text.arrow_patch.set_visible(box.distance(*pixel) > 1.5 * NEAR * scale)


def _obstacles(axes: Axes, scale: float) -> list[Box]:
    """What labels may not cover: markers, bars and the steps of the front, a little widened."""
    boxes = []
    for line in axes.lines:
        if line.get_color() == REST:
            continue
        x, y = (np.asarray(each, dtype=float) for each in line.get_data())
        xy = [_pixel(axes, *each) for each in zip(x, y, strict=True)]
        if line.get_drawstyle() == "steps-post":
            sides = [side for a, b in pairwise(xy) for side in ((a, (b[0], a[1])), ((b[0], a[1]), b))]
            boxes += [_around(*side, 2 * scale) for side in sides]
        else:
            boxes += [_around(point, point, 5 * scale) for point in xy]
    for bars in axes.collections:
        assert isinstance(bars, LineCollection)
        for a, b in bars.get_segments():
            boxes.append(_around(_pixel(axes, *a), _pixel(axes, *b), 1.5 * scale))
    return boxes


def _pixel(axes: Axes, x: float, y: float) -> Pixel:
    across, up = axes.transData.transform((float(x), float(y)))
    return float(across), float(up)


def _around(a: Pixel, b: Pixel, room: float) -> Box:
    return Box(min(a[0], b[0]) - room, min(a[1], b[1]) - room, max(a[0], b[0]) + room, max(a[1], b[1]) + room)


def _inside(box: Bbox) -> Box:
    return Box(box.x0 + 2, box.y0 + 2, box.x1, box.y1)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
