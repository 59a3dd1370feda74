"""Results to a leaderboard: runs are grouped into configurations, aggregated over seeds and ranked.

Pure: nothing is read or written here.  ``build(entries, header)`` makes the value that :mod:`reports.render` writes.

Limits: a rank says which mean is better, not whether the difference is real; two rows share a rank only where their
means are exactly equal.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

from benchmark.records import LIBRARIES, Failure, Result
from benchmark.run import Run, Value
from reports.aggregate import Aggregate
from reports.metrics import better
from reports.settings import common, labels, varying_keys
from reports.spent import Spent
from reports.values import aggregates, all_metrics, reason_without

T = TypeVar("T")
Status = Literal["done", "failed", "pruned", "pending"]
"""``pruned``: a search stopped it."""
SPEED_NOTE = "Speed was measured on this machine when nothing else trained, once for each network and input."


@dataclass(frozen=True)
class Entry:
    """One planned run and what came of it.  ``profile`` has its ``speed/…`` values, and its ``cost/usd`` and
    others of its bills, a failed run's, too; ``log`` is the path of the last
    attempt's log, for the reader to open; ``directory`` is the run directory; ``stale`` says which library versions
    differ between the result and this installation."""

    run: Run
    status: Status
    result: Result | None = None
    failure: Failure | None = None
    profile: Mapping[str, float | None] = field(default_factory=dict)
    mlflow_run_id: str | None = None
    directory: Path | None = None
    log: str = ""
    stale: str = ""

    def __post_init__(self) -> None:
        if (self.status == "done") != (self.result is not None):
            raise ValueError(f"run {self.run.run_id} is {self.status!r}; a result belongs to a run that is done, only")


@dataclass(frozen=True)
class DataSummary:
    """A data set as the reports name it; ``sizes`` maps train, val and test to numbers of images."""

    label: str
    digest: str
    classes: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Header:
    """What holds for the whole experiment.  ``started`` and ``finished`` are Unix seconds; ``hardware`` and
    ``versions`` are of the machine that reports; those of each run are in its result's environment.  ``prices`` says
    which prices of instances the dollars are of (``Prices.words``)."""

    experiment: str
    data: tuple[DataSummary, ...] = ()
    primary: str = "test/accuracy"
    description: str = ""
    command: str = ""
    commit: str = ""
    hardware: str = ""
    workers: int | None = None
    started: float | None = None
    finished: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    speed_note: str = SPEED_NOTE
    prices: str = ""


@dataclass(frozen=True)
class Row:
    """One configuration with at least one finished seed.  ``rank`` is ``None`` where the primary metric has no
    value; ``label`` is unique in the table; ``entries`` are all its planned runs, in the order of the seeds."""

    rank: int | None
    configuration_id: str
    label: str
    model: str
    architecture: str
    hyperparameters: Mapping[str, Value]
    planned_seeds: int
    metrics: Mapping[str, Aggregate]
    entries: tuple[Entry, ...]

    @property
    def done(self) -> tuple[Entry, ...]:
        return tuple(each for each in self.entries if each.status == "done")

    @property
    def n_seeds(self) -> int:
        return len(self.done)

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(note for each in self.done if each.result for note in each.result.notes))

    @property
    def stale(self) -> str:
        """Which library versions differ between its results and this installation, in words."""
        return "; ".join(dict.fromkeys(each.stale for each in self.done if each.stale))

    @property
    def mixed(self) -> bool:
        """Whether its seeds were trained with different versions of the libraries."""
        versions = [[each.result.environment.get(name) for name in LIBRARIES] for each in self.done if each.result]
        return any(each != versions[0] for each in versions)

    def mean(self, name: str) -> float | None:
        found = self.metrics.get(name)
        return found.mean if found else None


@dataclass(frozen=True)
class Table:
    """The rows of one data set, best first, those without a rank last.  ``varying`` are the hyperparameters that
    differ between its configurations, finished or not; ``fixed`` are the others."""

    data: DataSummary
    varying: tuple[str, ...]
    fixed: Mapping[str, Value]
    rows: tuple[Row, ...]

    @property
    def ranked(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.rank is not None)


@dataclass(frozen=True)
class Unranked:
    """A run that counts in no rank: failed, pending, or without a value of the primary metric.  ``kind`` is the
    failure's kind, ``pending`` or ``undefined``."""

    entry: Entry
    data: DataSummary
    label: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Leaderboard:
    """A table for each data set, in the order in which ``entries`` bring them, and the runs that count in none."""

    header: Header
    tables: tuple[Table, ...]
    not_ranked: tuple[Unranked, ...]
    entries: tuple[Entry, ...]

    @property
    def counts(self) -> Mapping[str, int]:
        """Status -> number of runs."""
        return Counter(entry.status for entry in self.entries)

    @property
    def spent(self) -> Spent | None:
        """What all runs cost together, those that failed included; ``None`` where none has a bill."""
        return Spent.of(entry.profile for entry in self.entries)

    @property
    def pending(self) -> list[list[Unranked]]:
        """The runs to come, those of a configuration together: there may be thousands."""
        waiting = (each for each in self.not_ranked if each.kind == "pending")
        return list(_grouped((each.entry.run.configuration_id, each) for each in waiting).values())

    @cached_property
    def alike(self) -> Mapping[str, str]:
        """Configuration id -> which of :attr:`looking` it is drawn as: its model, or where only one has a row, its
        label."""
        rows = [row for table in self.tables for row in table.rows]
        several = len({row.model for row in rows}) > 1
        return {row.configuration_id: row.model if several else row.label for row in rows}

    @property
    def looking(self) -> tuple[str, ...]:
        """What figures and the page tell apart, in the order in which colours are given out."""
        told = dict.fromkeys(self.alike.values())
        return self.models if told.keys() <= set(self.models) else tuple(told)

    @property
    def models(self) -> tuple[str, ...]:
        """Every model, finished or not, in alphabetical order."""
        return tuple(sorted({entry.run.model for entry in self.entries}))


def build(entries: Sequence[Entry], header: Header) -> Leaderboard:
    """The leaderboard of these runs, in any order.

    Raises:
        ValueError: rows cannot be ranked by the primary metric, or a run is given twice.
    """
    better(header.primary)
    twice = [run_id for run_id, n in Counter(entry.run.run_id for entry in entries).items() if n > 1]
    if twice:
        raise ValueError(f"the same run is given twice: {', '.join(twice)}")
    by_data = _grouped((entry.run.data_digest, entry) for entry in entries)
    built = [_table(_summary(header, group[0]), group, header.primary) for group in by_data.values()]
    tables = tuple(table for table, _ in built)
    return Leaderboard(header, tables, tuple(each for _, left in built for each in left), tuple(entries))


def _table(data: DataSummary, entries: Sequence[Entry], primary: str) -> tuple[Table, list[Unranked]]:
    groups = _grouped((entry.run.configuration_id, entry) for entry in sorted(entries, key=lambda each: each.run.seed))
    settings = {key: group[0].run.hyperparameters for key, group in groups.items()}
    varying = varying_keys(list(settings.values()))
    names = labels(settings)
    finished = [key for key, group in groups.items() if any(each.result for each in group)]
    rows = [_row(key, names[key], settings[key], groups[key]) for key in finished]
    fixed = common(list(settings.values()))
    left = [each for key, group in groups.items() for each in _unranked(group, data, names[key], primary)]
    left.sort(key=lambda each: (each.label, each.entry.run.seed))
    return Table(data, varying, fixed, _ranked(rows, primary)), left


def _row(configuration_id: str, label: str, settings: Mapping[str, Value], entries: Sequence[Entry]) -> Row:
    results = [each.result for each in entries if each.result]
    return Row(
        rank=None,
        configuration_id=configuration_id,
        label=label,
        model=entries[0].run.model,
        architecture=results[0].architecture,
        hyperparameters=settings,
        planned_seeds=len(entries),
        metrics=aggregates([(each.run.seed, each.result, each.profile) for each in entries if each.result]),
        entries=tuple(entries),
    )


def _ranked(rows: Sequence[Row], primary: str) -> tuple[Row, ...]:
    """Best first, equal means sharing the better rank (1, 1, 3); rows without a mean after them, without a rank."""
    sign = -1 if better(primary) == "higher" else 1
    means = sorted(sign * mean for row in rows if (mean := row.mean(primary)) is not None)
    placed = []
    for row in rows:
        mean = row.mean(primary)
        rank = None if mean is None else 1 + bisect_left(means, sign * mean)
        placed.append(replace(row, rank=rank))
    return tuple(sorted(placed, key=lambda row: (row.rank is None, row.rank or 0, row.label, row.configuration_id)))


def _unranked(entries: Sequence[Entry], data: DataSummary, label: str, primary: str) -> list[Unranked]:
    named = [(entry, _why_unranked(entry, primary)) for entry in entries]
    return [Unranked(entry, data, label, *why) for entry, why in named if why]


def _why_unranked(entry: Entry, primary: str) -> tuple[str, str] | None:
    if entry.result is not None:
        if all_metrics(entry.result, entry.profile).get(primary) is not None:
            return None
        return "undefined", f"{primary}: {reason_without(primary, entry.result, entry.profile)}"
    if entry.status == "pending":
        return "pending", "has not finished yet"
    failure = entry.failure
    return (failure.kind, failure.message) if failure else ("error", "failed without a record of the reason")


def _summary(header: Header, entry: Entry) -> DataSummary:
    known = {each.digest: each for each in header.data}
    return known.get(entry.run.data_digest) or DataSummary(entry.run.data.label, entry.run.data_digest)


def _grouped(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = {}
    for key, entry in pairs:
        groups.setdefault(key, []).append(entry)
    return groups
