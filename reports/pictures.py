"""Which figures a table has, and how they are called.  The colours are those of the whole leaderboard."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from reports.evidence import Evidence
from reports.exhibit import Exhibit
from reports.figures import Point, confusion_figure, curves_figure, pareto_figure
from reports.leaderboard import Row, Table
from reports.metrics import metric
from reports.ordering import clustered
from reports.rates import NUMBERS
from reports.style import Look

OURS = re.compile(r"(\d+-)?(quality-vs-(training|latency)(-\d+)?|confusion-\d+|learning-curves)\.(svg|png)")
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


def pictures(shown: Exhibit, styles: Mapping[str, Look], prefix: str = "") -> Pictures:
    """Draws them.  ``styles``: configuration id -> look; ``prefix`` tells several tables' files apart."""
    table, evidence = shown.table, shown.evidence
    costs = [found for kind in COSTS for found in _costs(shown, kind, styles, prefix)]
    confusions = tuple(_confusions(table, evidence, prefix))
    return Pictures(tuple(costs), confusions, tuple(_curves(table, evidence, styles, prefix)))


def _confusions(table: Table, evidence: Evidence, prefix: str) -> Iterator[Picture]:
    """Of many classes in an order, the same in all, that puts those together which are taken for each other."""
    many = len(evidence.classes) > NUMBERS and evidence.confusions
    order = clustered(list(evidence.confusions.values())) if many else list(range(len(evidence.classes)))
    classes = [evidence.classes[index] for index in order]
    for place, (label, counts) in enumerate(evidence.confusions.items(), 1):
        title = f"{label}{_seeds(table, label)}{', classes by similarity' if many else ''}"
        figure = confusion_figure(counts[np.ix_(order, order)], classes, title)
        yield Picture(f"{prefix}confusion-{place}", f"Confusion matrix of {label}", figure)


def _costs(shown: Exhibit, kind: str, styles: Mapping[str, Look], prefix: str) -> Iterator[Picture]:
    """One for each group of rows whose times may be compared."""
    groups = list(shown.tradeoffs.groups.values()) or [tuple(row.configuration_id for row in shown.table.ranked)]
    for place, keys in enumerate(groups, 1):
        rows = [row for row in shown.table.ranked if row.configuration_id in keys]
        where = f", measured on {list(shown.tradeoffs.groups)[place - 1]}" if len(groups) > 1 else ""
        points = _points(rows, COSTS[kind], shown)
        if len(points) > 1:
            alt = f"{metric(shown.primary).words} against {metric(COSTS[kind]).words}{where}"
            own = {row.label: styles[row.configuration_id] for row in rows}
            figure = pareto_figure(points, x=COSTS[kind], y=shown.primary, styles=own)
            yield Picture(f"{prefix}quality-vs-{kind}{f'-{place}' if len(groups) > 1 else ''}", alt, figure)


def _points(rows: Sequence[Row], cost: str, shown: Exhibit) -> list[Point]:
    """Bars are the 95% intervals where there are any."""
    return [
        Point(row.label, row.model, x, y, _bar(shown, row, y))
        for row in rows
        if (x := row.mean(cost)) is not None and (y := row.mean(shown.primary)) is not None
    ]


def _bar(shown: Exhibit, row: Row, mean: float) -> tuple[float, float] | None:
    """How far the interval reaches below the mean and above it."""
    found = shown.study.interval(row.configuration_id, shown.primary)
    return (max(0.0, mean - found.low), max(0.0, found.high - mean)) if found else None


def _curves(table: Table, evidence: Evidence, styles: Mapping[str, Look], prefix: str) -> Sequence[Picture]:
    if not evidence.curves:
        return []
    own = {row.label: styles[row.configuration_id] for row in table.rows}
    title = f"Learning curves{', mean over seeds' if any(row.n_seeds > 1 for row in table.ranked) else ''}"
    figure = curves_figure(
        evidence.curves,
        name=evidence.curve_metric,
        title=title,
        styles={label: own[label] for label in evidence.curves},
    )
    return [Picture(f"{prefix}learning-curves", f"{metric(evidence.curve_metric).words} over the epochs", figure)]


def _seeds(table: Table, label: str) -> str:
    n = next(row.n_seeds for row in table.rows if row.label == label)
    return f", {n} seeds" if n > 1 else ""
