"""Learning curves: one validation metric over the epochs, a line for each label, named at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.records import Event
from reports.metrics import metric
from reports.placing import spread
from reports.style import SOFT, Look, looks, new_figure, settle, styled
from reports.text import one_line

Series = tuple[list[int], list[float]]
_TIE: dict[str, Any] = {"arrowstyle": "-", "lw": 0.7, "ls": ":", "shrinkA": 2, "shrinkB": 4, "relpos": (0, 0.5)}


def curves_figure(
    curves: Mapping[str, Sequence[Event]],
    *,
    name: str = "val/accuracy",
    title: str = "Learning curves",
    styles: Mapping[str, Look] | None = None,
) -> Figure:
    """The metric ``name`` of each epoch; epochs without a value leave a gap in none of the lines.

    Args:
        curves: label -> epochs.
        name: the metric; fractions are drawn in per cent.
        title: above the figure.
        styles: label -> its look; by default each label has its own.
    """
    series = {label: found for label, events in curves.items() if (found := _series(events, name))[0]}
    styles = styles or looks(list(curves))
    with styled():
        figure = new_figure(7.2, max(3.6, 0.2 * len(series) + 1.2))
        axes = figure.add_subplot()
        axes.set_title(one_line(title, 90))
        axes.set_xlabel("epoch")
        axes.set_ylabel(_axis_title(name))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        if not series:
            axes.text(0.5, 0.5, "no epochs", ha="center", color=SOFT, transform=axes.transAxes)
        for label, (epochs, values) in series.items():
            look = styles[label]
            axes.plot(epochs, values, color=look.colour, ls=look.dash, marker=look.marker, ms=_marker_size(epochs))
        _name_ends(figure, axes, series, styles)
        return figure


def average(runs: Sequence[Sequence[Event]], name: str) -> tuple[Event, ...]:
    """The mean of one metric over runs, for the epochs that all of them have with a value."""
    series = [dict(zip(*_raw(events, name), strict=True)) for events in runs]
    shared = set.intersection(*map(set, series)) if series else set()
    return tuple(
        Event(epoch, 0, 0.0, {name: sum(each[epoch] for each in series) / len(series)}) for epoch in sorted(shared)
    )


def _raw(events: Sequence[Event], name: str) -> Series:
    pairs = [(event.epoch, value) for event in events if (value := event.metrics.get(name)) is not None]
    return [epoch for epoch, _ in pairs], [value for _, value in pairs]


def _series(events: Sequence[Event], name: str) -> Series:
    epochs, values = _raw(events, name)
    return epochs, [metric(name).scaled(value) for value in values]


def _axis_title(name: str) -> str:
    known = metric(name)
    return f"{known.words}, %" if known.points else known.words


def _marker_size(epochs: Sequence[int]) -> float:
    return 4.5 if len(epochs) <= 12 else 0


def _name_ends(figure: Figure, axes: Axes, series: Mapping[str, Series], styles: Mapping[str, Look]) -> None:
    """Each label stands right of the axes, near its line's end and clear of the others, tied to it by a thin line."""
    if not series:
        return
    last = max(epochs[-1] for epochs, _ in series.values())
    first = min(epochs[0] for epochs, _ in series.values())
    axes.set_xlim(first - 0.03 * max(last - first, 1), last + 0.03 * max(last - first, 1))
    texts = {
        label: axes.annotate(
            one_line(label, 40), (epochs[-1], values[-1]), (1.035, 0), xycoords="data", textcoords="axes fraction",
            va="center", fontsize=8.5, color=styles[label].colour, annotation_clip=False,
            arrowprops={**_TIE, "color": styles[label].colour},
        )
        for label, (epochs, values) in series.items()
    }  # fmt: skip
    settle(figure)
    box = axes.get_window_extent()
    height = 12.5 * figure.dpi / 72
    wanted = [axes.transData.transform((0, values[-1]))[1] for _, values in series.values()]
    for text, y in zip(texts.values(), spread(wanted, height, box.y0, box.y1), strict=True):
        text.set_position((1.035, (y - box.y0) / box.height))
