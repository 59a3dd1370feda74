"""Range tests of learning rates: the smoothed loss over the rate, and the rate that is suggested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from reports.settings import write
from reports.style import SOFT, looks, new_figure, settle, styled

Curve = tuple[Sequence[float], Sequence[float], float]
"""Rates, losses, and the suggested rate."""


def lr_figure(curves: Mapping[str, Curve], *, title: str = "Range tests of the learning rate") -> Figure:
    """A line for each label; a mark where its suggested rate lies."""
    styles = looks(list(curves))
    with styled():
        figure = new_figure(7.2, 4.2)
        axes = figure.add_subplot()
        axes.set_title(title)
        axes.set_xlabel("learning rate")
        axes.set_ylabel("training loss, smoothed")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
        for label, (rates, losses, suggested) in curves.items():
            look = styles[label]
            axes.plot(rates, losses, color=look.colour, ls=look.dash, label=f"{label}: {suggested:.1e}")
            nearest = min(range(len(rates)), key=lambda index, goal=suggested: abs(rates[index] / goal - 1))  # type: ignore[misc]
            axes.plot(rates[nearest], losses[nearest], color=look.colour, marker="o", ms=6)
        if curves:
            axes.legend(fontsize=7, title="suggested", title_fontsize=7, labelcolor=SOFT)
        settle(figure)
        return figure
