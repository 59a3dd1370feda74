"""Tidy tables of an experiment's runs and of their epochs; pandas is imported for notebooks alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import pandas as pd

from benchmark.metric_names import METRICS
from benchmark.rundir import RunDir
from reports.leaderboard import Entry, Leaderboard
from reports.settings import varying_keys
from reports.values import all_metrics

RUN = ("run_id", "configuration_id", "configuration", "status", "failure", "model", "seed", "data")
EPOCH = ("run_id", "configuration", "model", "seed", "data", "epoch", "step", "time")


def results(board: Leaderboard) -> pd.DataFrame:
    """A row for each planned run: what it is, its hyperparameters, its metrics."""
    labels = _labels(board)
    metrics = [all_metrics(entry.result, entry.profile) for entry in board.entries]
    settings = [_settings(entry) for entry in board.entries]
    rows = [
        {**_identity(entry, labels), **keys, **values}
        for entry, keys, values in zip(board.entries, settings, metrics, strict=True)
    ]
    return _frame(rows, [*RUN, *_varying_first(settings)], metrics)


def curves(board: Leaderboard) -> pd.DataFrame:
    """A row for each epoch that any run has ended.

    Raises:
        BrokenFile: a run's ``events.jsonl`` is no list of epochs.
    """
    labels = _labels(board)
    rows, metrics = [], []
    for entry in board.entries:
        for event in RunDir(entry.directory).read_events() if entry.directory else ():
            identity = {key: value for key, value in _identity(entry, labels).items() if key in EPOCH}
            rows.append({**identity, "epoch": event.epoch, "step": event.step, "time": event.time, **event.metrics})
            metrics.append(event.metrics)
    return _frame(rows, list(EPOCH), metrics)


def _frame(rows: list[dict[str, Any]], first: list[str], metrics: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Metrics in the order in which they are defined, as float64: ``None`` becomes NaN."""
    there = dict.fromkeys(chain.from_iterable(metrics))
    names = [name for name in METRICS if name in there]
    names += [name for name in there if name not in METRICS]
    frame = pd.DataFrame(rows, columns=[*first, *names])
    return frame.astype(dict.fromkeys(names, "float64"))


def _labels(board: Leaderboard) -> dict[str, str]:
    """Configuration id -> its label on the leaderboard."""
    rows = chain.from_iterable(table.rows for table in board.tables)
    left = ((each.entry.run.configuration_id, each.label) for each in board.not_ranked)
    return {**dict(left), **{row.configuration_id: row.label for row in rows}}


def _identity(entry: Entry, labels: Mapping[str, str]) -> dict[str, Any]:
    run = entry.run
    failure = entry.failure.kind if entry.failure else None
    values = (run.run_id, run.configuration_id, labels[run.configuration_id], entry.status, failure, run.model)
    return dict(zip(RUN, (*values, run.seed, run.data.label), strict=True))


def _settings(entry: Entry) -> dict[str, Any]:
    return {key: value for key, value in entry.run.hyperparameters.items() if key != "model"}


def _varying_first(settings: list[dict[str, Any]]) -> Iterator[str]:
    varying = varying_keys(settings)
    yield from varying
    yield from (key for key in dict.fromkeys(chain.from_iterable(settings)) if key not in varying)
