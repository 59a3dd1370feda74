"""What a table's figures are drawn from, read from the run directories: confusion matrices and epochs.

Only the best rows are read, so that a report of thousands of runs stays fast.  A run directory without the files, or
with broken ones, costs its part of the figures and is named in ``troubles``; it never costs the leaderboard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmark.records import Evaluation, Event
from benchmark.rundir import BrokenFile, RunDir
from reports.curves import average
from reports.leaderboard import Entry, Row, Table

BEST = 3
"""Rows whose confusion matrices are shown."""
CURVES = 12
"""Rows whose learning curves are shown."""
SPLIT = "test"


@dataclass(frozen=True)
class Evidence:
    """``confusions``: label -> counts (k, k), summed over the seeds, of the best rows; ``curves``: label -> epochs with
    the mean of ``curve_metric`` over the seeds; ``f1``: label -> each class's F1 in the best rows, the mean over the
    seeds (``None`` where one of them has none); ``support``: each class's images."""

    classes: tuple[str, ...] = ()
    confusions: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    curves: Mapping[str, tuple[Event, ...]] = field(default_factory=dict)
    curve_metric: str = "val/accuracy"
    f1: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    support: tuple[int, ...] = ()
    troubles: tuple[str, ...] = ()


def read(table: Table, primary: str) -> Evidence:
    """The evidence for the best rows of ``table``."""
    troubles: list[str] = []
    evaluated = {row.label: _evaluations(row, troubles) for row in table.ranked[:BEST]}
    confusions = {label: _sum(found) for label, found in evaluated.items() if found}
    first = next((found[0].per_class for found in evaluated.values() if found), ())
    epochs = {row.label: _epochs(row, troubles) for row in table.ranked[:CURVES]}
    name = _curve_metric(epochs, primary)
    curves = {label: average(runs, name) for label, runs in epochs.items()}
    return Evidence(
        classes=tuple(each.name for each in first),
        confusions=confusions,
        curves={label: each for label, each in curves.items() if each},
        curve_metric=name,
        f1={label: _f1(found) for label, found in evaluated.items() if found},
        support=tuple(each.support for each in first),
        troubles=tuple(troubles),
    )


def _evaluations(row: Row, troubles: list[str]) -> list[Evaluation]:
    return [found for entry in row.done if (found := _evaluation(entry, row.label, troubles)) is not None]


def _evaluation(entry: Entry, label: str, troubles: list[str]) -> Evaluation | None:
    if entry.directory is None:
        return None
    try:
        return RunDir(entry.directory).read_evaluation()[SPLIT]
    except (BrokenFile, KeyError):
        troubles.append(f"{label}, seed {entry.run.seed}: no confusion matrix, its evaluation.json cannot be read")
        return None


def _epochs(row: Row, troubles: list[str]) -> list[tuple[Event, ...]]:
    found = []
    for entry in row.done:
        if entry.directory is None:
            continue
        try:
            found.append(RunDir(entry.directory).read_events())
        except BrokenFile:
            troubles.append(f"{row.label}, seed {entry.run.seed}: no learning curve, its events.jsonl cannot be read")
    return found


def _f1(evaluations: list[Evaluation]) -> tuple[float | None, ...]:
    seeds = [[each.f1 for each in evaluation.per_class] for evaluation in evaluations]
    return tuple(_mean(values) for values in zip(*seeds, strict=True))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None


def _sum(evaluations: list[Evaluation]) -> npt.NDArray[np.int64]:
    return np.asarray(np.sum([each.confusion for each in evaluations], axis=0), dtype=np.int64)


def _curve_metric(epochs: Mapping[str, list[tuple[Event, ...]]], primary: str) -> str:
    """The primary metric on validation where epochs have it, else accuracy."""
    wanted = f"val/{primary.partition('/')[2]}"
    known = {name for runs in epochs.values() for events in runs for event in events for name in event.metrics}
    return wanted if wanted in known else "val/accuracy"
