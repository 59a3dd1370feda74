"""Which figures a table has, and how they are called.  The colours are those of the whole leaderboard."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from reports.evidence import Evidence
from reports.figures import Point, confusion_figure, curves_figure, pareto_figure
from reports.leaderboard import Table
from reports.metrics import metric
from reports.style import Look

OURS = re.compile(r"(\d+-)?(quality-vs-(training|latency)|confusion-\d+|learning-curves)\.(svg|png)")
"""File names that a report may write, and so may delete."""
COSTS = {"training": "cost/train_seconds", "latency": "speed/latency_ms_p50"}


@dataclass(frozen=True)
class Picture:
    """A figure, the name of its files without the suffix, and its text for those who do not see it."""

    stem: str
    alt: str
    figure: Figure


@dataclass(frozen=True)
class Pictures:
    """A table's figures, in the order in which the page shows them."""

    costs: tuple[Picture, ...]
    confusions: tuple[Picture, ...]
    curves: tuple[Picture, ...]

    @property
    def all(self) -> tuple[Picture, ...]:
        return self.costs + self.confusions + self.curves


def pictures(table: Table, evidence: Evidence, primary: str, styles: Mapping[str, Look], prefix: str = "") -> Pictures:
    """Draws them.  ``styles``: model -> look; ``prefix`` tells several tables' files apart."""
    costs = [found for kind in COSTS if (found := _cost(table, kind, primary, styles, prefix))]
    confusions = [
        Picture(
            f"{prefix}confusion-{place}",
            f"Confusion matrix of {label}",
            confusion_figure(counts, evidence.classes, label + _seeds(table, label)),
        )
        for place, (label, counts) in enumerate(evidence.confusions.items(), 1)
    ]
    return Pictures(tuple(costs), tuple(confusions), tuple(_curves(table, evidence, styles, prefix)))


def _cost(table: Table, kind: str, primary: str, styles: Mapping[str, Look], prefix: str) -> Picture | None:
    cost = COSTS[kind]
    points = [
        Point(row.label, row.model, x, y, row.metrics[primary].sd)
        for row in table.ranked
        if (x := row.mean(cost)) is not None and (y := row.mean(primary)) is not None
    ]
    if len(points) < 2:
        return None
    alt = f"{metric(primary).words} against {metric(cost).words}"
    figure = pareto_figure(points, x=cost, y=primary, styles=styles)
    return Picture(f"{prefix}quality-vs-{kind}", alt, figure)


def _curves(table: Table, evidence: Evidence, styles: Mapping[str, Look], prefix: str) -> Sequence[Picture]:
    if not evidence.curves:
        return []
    models = {row.label: row.model for row in table.rows}
    title = f"Learning curves{', mean over seeds' if any(row.n_seeds > 1 for row in table.ranked) else ''}"
    figure = curves_figure(
        evidence.curves,
        name=evidence.curve_metric,
        title=title,
        styles={label: styles[models[label]] for label in evidence.curves},
    )
    return [Picture(f"{prefix}learning-curves", f"{metric(evidence.curve_metric).words} over the epochs", figure)]


def _seeds(table: Table, label: str) -> str:
    n = next(row.n_seeds for row in table.rows if row.label == label)
    return f", {n} seeds" if n > 1 else ""
