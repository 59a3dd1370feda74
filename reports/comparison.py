"""Two configurations, or two runs, against each other: what differs, which is better, and on which images.

    compare(Side.of(table, row), Side.of(table, other), "test/accuracy").verdict.better

Both have answered the same test images, so every test is paired.  A difference is the first less the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchmark.records import LIBRARIES
from benchmark.run import Value
from reports.answers import Answers, Flips, flips, read
from reports.influence import has_values
from reports.leaderboard import Entry, Row, Table
from reports.metrics import COLUMNS, better
from reports.samples import read as read_samples
from reports.statistics import LEVEL, Sampled, difference, more_images, more_seeds
from reports.study import SPLITS, STUDIED, Interval, intervals_of, scale_of, tested
from reports.tradeoffs import MACHINE
from reports.unpaired import Recorded, unpaired
from reports.values import aggregates

Better = Literal["first", "second"]
ABSENT = "absent"
"""Of a key that only one of the two has."""


@dataclass(frozen=True)
class Side:
    """One of the two: ``row`` is its row of ``table``, of a single run with that run's values alone."""

    label: str
    table: Table
    row: Row

    @classmethod
    def of(cls, table: Table, row: Row) -> Side:
        return cls(row.label, table, row)

    @classmethod
    def of_run(cls, table: Table, row: Row, entry: Entry) -> Side:
        """A single finished run of a row."""
        assert entry.result is not None
        metrics = aggregates([(entry.run.seed, entry.result, entry.profile)])
        alone = replace(row, entries=(entry,), planned_seeds=1, metrics=metrics)
        return cls(f"{row.label} · seed {entry.run.seed}", table, alone)


@dataclass(frozen=True)
class Verdict:
    """Of one metric.  ``difference`` is the first's mean less the second's, with its 95% interval; ``better`` is
    ``None`` where the two are not told apart (p ≥ 0.05); ``more_seeds``, each, and ``more_images`` are what would
    probably tell them apart, ``None`` where nothing is known to."""

    metric: str
    difference: float
    low: float
    high: float
    p: float
    test: str
    better: Better | None
    more_seeds: int | None = None
    more_images: int | None = None


@dataclass(frozen=True)
class Comparison:
    """``metrics`` are the names that either has, those that are tested first; ``settings`` and ``made_with`` map what
    differs to both values; ``intervals`` and ``verdicts`` are by metric, those of the metrics that have them.
    ``answers`` and ``flips`` are ``None`` where the predictions of one of the two cannot be read."""

    first: Side
    second: Side
    primary: str
    metrics: tuple[str, ...]
    settings: Mapping[str, tuple[Value, Value]]
    made_with: Mapping[str, tuple[str, str]]
    intervals: tuple[Mapping[str, Interval], Mapping[str, Interval]]
    verdicts: Mapping[str, Verdict]
    answers: tuple[Answers, Answers] | None
    flips: Flips | None
    troubles: tuple[str, ...]

    @property
    def verdict(self) -> Verdict | None:
        """That of the primary metric."""
        return self.verdicts.get(self.primary)

    @property
    def classes(self) -> tuple[str, ...]:
        """A name for each class that the answers know: its number where the data set does not say."""
        known = self.first.table.data.classes
        k = len(self.answers[0].confusion) if self.answers else len(known)
        return known if len(known) == k else tuple(map(str, range(k)))


def compare(first: Side, second: Side, primary: str) -> Comparison:
    """The comparison by ``primary``, or by accuracy where that has no values of single images.

    Raises:
        ValueError: the two were tested on different data.
    """
    if first.table.data.digest != second.table.data.digest:
        raise ValueError(f"they were tested on other images: {_data(first)} and {_data(second)}")
    primary = primary if _is_tested(primary) else "test/accuracy"
    names = _tested_names(primary)
    both = (
        replace(first.row, rank=1, configuration_id="first"),
        replace(second.row, rank=2, configuration_id="second"),
    )
    samples = read_samples(replace(first.table, rows=both), names)
    sampled = tuple(samples.rows.get(row.configuration_id, {}) for row in both)
    answers = _answers(both, primary) if all(primary in each for each in sampled) else None
    found = (_verdict(name, both, sampled) for name in names)
    return Comparison(
        first=first,
        second=second,
        primary=primary,
        metrics=_there([*names, *(name for name in COLUMNS if not _is_tested(name))], both),
        settings=_settings(first, second),
        made_with=_made_with(first.row, second.row),
        intervals=(intervals_of(both[0], sampled[0]), intervals_of(both[1], sampled[1])),
        verdicts={each.metric: each for each in found if each},
        answers=answers,
        flips=flips(*answers) if answers else None,
        troubles=tuple(samples.troubles),
    )


def _is_tested(name: str) -> bool:
    split, _, rest = name.partition("/")
    return split in SPLITS and has_values(rest)


def _tested_names(primary: str) -> tuple[str, ...]:
    split = primary.partition("/")[0]
    return tuple(dict.fromkeys([primary, *(f"{split}/{each}" for each in STUDIED)]))


def _there(names: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(name for name in names if any(name in row.metrics for row in rows))


def _answers(rows: Sequence[Row], primary: str) -> tuple[Answers, Answers] | None:
    first, second = (read(row.done, primary.partition("/")[0]) for row in rows)
    return (first, second) if first and second else None


def _verdict(name: str, rows: Sequence[Row], sampled: Sequence[Mapping[str, Sampled]]) -> Verdict | None:
    if name in sampled[0] and name in sampled[1]:
        return _paired(name, sampled[0][name], sampled[1][name])
    first, second = (_recorded(row, name) for row in rows)
    found = unpaired(first, second) if first and second else None
    if found is None:
        return None
    better = _better(name, found.value, found.p)
    return Verdict(name, found.value, *found.limits, found.p, "unpaired t test over seeds", better)


def _paired(name: str, first: Sampled, second: Sampled) -> Verdict:
    found = difference(first, second)
    p, test = tested(found, first, second, exact=name.endswith("/accuracy"))
    better = _better(name, found.value, p)
    seeds = more_seeds(found, min(first.seeds, second.seeds)) if better is None else None
    images = more_images(found) if better is None and seeds is None else None
    return Verdict(name, found.value, *found.limits, p, test, better, seeds, images)


def _better(name: str, value: float, p: float) -> Better | None:
    if p >= LEVEL or not value:
        return None
    return "first" if (value > 0) == (better(name) == "higher") else "second"


def _recorded(row: Row, name: str) -> Recorded | None:
    found = row.metrics.get(name)
    if found is None or found.mean is None or scale_of(name) == "any":
        return None
    return Recorded(found.mean, found.sd, len(found.values))


def _settings(first: Side, second: Side) -> dict[str, tuple[Value, Value]]:
    """The seed counts where both are single runs."""
    pair = [dict(each.row.hyperparameters) for each in (first, second)]
    if all(each.row.n_seeds == each.row.planned_seeds == 1 for each in (first, second)):
        for settings, side in zip(pair, (first, second), strict=True):
            settings["seed"] = side.row.entries[0].run.seed
    keys = dict.fromkeys([*pair[0], *pair[1]])
    values = {key: (pair[0].get(key, ABSENT), pair[1].get(key, ABSENT)) for key in keys}
    return {key: (a, b) for key, (a, b) in values.items() if type(a) is not type(b) or a != b}


def _made_with(first: Row, second: Row) -> dict[str, tuple[str, str]]:
    """Libraries and machines that differ: without the same ones, speeds are no property of the models."""
    pairs = {name: (_environment(first, name), _environment(second, name)) for name in (*LIBRARIES, *MACHINE)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _environment(row: Row, name: str) -> str:
    found = dict.fromkeys(str(each.result.environment.get(name, ABSENT)) for each in row.done if each.result)
    return " or ".join(found)


def _data(side: Side) -> str:
    return f"{side.label} on {side.table.data.label} ({side.table.data.digest[:8]})"
