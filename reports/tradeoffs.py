"""Quality against speed, size and cost: who is beaten in everything, and what is the best within limits.

Speed and cost are compared only between runs of the same device and batch: :func:`tradeoffs` compares within each such
group, and says which groups there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from reports.leaderboard import Row, Table
from reports.metrics import better

COSTS = ("speed/latency_ms_p50", "model/parameters", "cost/train_seconds", "cost/usd")
"""What quality is weighed against; those that all rows of a group have."""
MACHINE = ("instance", "device", "cpu", "threads")
"""Keys of a run's environment between which speeds are not compared."""


@dataclass(frozen=True)
class Tradeoffs:
    """Of one table.  ``objectives`` are the metrics compared, the primary first; ``front`` the configuration ids that
    no other beats in all of them; ``dominated_by`` maps each other id to the best of those that are as good in all and
    better in one; ``groups`` maps what speed was measured on, in words -> the ids measured so (one group where all are
    alike)."""

    objectives: tuple[str, ...] = ()
    front: tuple[str, ...] = ()
    dominated_by: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def tradeoffs(table: Table, primary: str) -> Tradeoffs:
    """Of the ranked rows; a front needs two rows and a cost that differs."""
    groups: dict[str, list[Row]] = {}
    for row in table.ranked:
        groups.setdefault(measured_on(row), []).append(row)
    objectives = (primary, *(name for name in COSTS if name != primary and _is_known(name, table.ranked)))
    dominated: dict[str, str] = {}
    if len(objectives) > 1:
        for rows in groups.values():
            dominated |= _dominated(rows, objectives)
    front = [row.configuration_id for row in table.ranked if row.configuration_id not in dominated]
    named = {name: tuple(row.configuration_id for row in rows) for name, rows in groups.items()}
    return Tradeoffs(objectives, tuple(front) if len(objectives) > 1 else (), dominated, named)


def measured_on(row: Row) -> str:
    """The machine of the row's runs and the batch of its speed, in words; of several machines, all of them."""
    machines = dict.fromkeys(_machine(each.result.environment) for each in row.done if each.result)
    batch = row.mean("speed/batch_size")
    return " and ".join(machines) + (f", batches of {batch:g}" if batch else "")


def _machine(environment: Mapping[str, str | int | float]) -> str:
    found = [str(environment[key]) for key in MACHINE[:3] if key in environment]
    threads = environment.get("threads")
    return ", ".join([*found, *([f"{threads} thread{'s' * (threads != 1)}"] if threads else [])])


def _is_known(name: str, rows: Sequence[Row]) -> bool:
    means = {row.mean(name) for row in rows}
    return None not in means and len(means) > 1


def _dominated(rows: Sequence[Row], objectives: Sequence[str]) -> dict[str, str]:
    """Configuration id -> the first of ``rows``, which are the best first, that dominates it."""
    values = np.array([[_loss(row, name) for name in objectives] for row in rows])
    found = {}
    for row, own in zip(rows, values, strict=True):
        beaten = (values <= own).all(axis=1) & (values < own).any(axis=1)
        if beaten.any():
            found[row.configuration_id] = rows[int(beaten.argmax())].configuration_id
    return found


def _loss(row: Row, name: str) -> float:
    mean = row.mean(name)
    assert mean is not None
    return -mean if better(name) == "higher" else mean
