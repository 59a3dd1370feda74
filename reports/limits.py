"""Limits that a model has to keep: ``--max-latency 20ms --max-params 5M`` names the best that fits.

choose(table, [Limit.of("latency", "20ms")], "test/accuracy")
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.leaderboard import Row, Table
from reports.metrics import metric
from reports.summary import value
from reports.text import one_line

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(\D*)", re.IGNORECASE)
_COUNT = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
_BYTES = {"": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30}
_SECONDS = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_MILLISECONDS = {"": 1.0, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Kind:
    """The metric that an option limits, the units that it may be given in, and an example."""

    metric: str
    words: str
    units: Mapping[str, float]
    example: str


KINDS: Mapping[str, Kind] = {
    "latency": Kind("speed/latency_ms_p50", "latency", _MILLISECONDS, "20ms"),
    "params": Kind("model/parameters", "parameters", _COUNT, "5M"),
    "macs": Kind("model/macs", "multiply-adds per image", _COUNT, "0.5G"),
    "train-time": Kind("cost/train_seconds", "training time", _SECONDS, "10m"),
    "memory": Kind("cost/peak_memory_bytes", "peak memory", _BYTES, "2GB"),
    "cost": Kind("cost/usd", "training cost", {"": 1.0, "$": 1.0, "usd": 1.0}, "$1.50"),
}

_WORDS = {kind.metric: kind.words for kind in KINDS.values()}


@dataclass(frozen=True)
class Limit:
    """At most ``most``, in the unit of ``metric``."""

    metric: str
    most: float

    @classmethod
    def of(cls, kind: str, text: str) -> Limit:
        """From what a user typed.

        Raises:
            ValueError: it is no positive number in one of the kind's units.
        """
        known = KINDS[kind]
        found = _NUMBER.fullmatch(text.strip().removeprefix("$"))
        factor = known.units.get(found[2].strip().lower()) if found else None
        if found is None or factor is None or not 0 < float(found[1]) < float("inf"):
            units = ", ".join(filter(None, known.units))
            shown = one_line(text, 40)
            raise ValueError(f"--max-{kind} {shown!r} is not a positive number in {units}, such as {known.example}")
        return cls(known.metric, float(found[1]) * factor)

    @property
    def words(self) -> str:
        return f"{_WORDS[self.metric]} at most {_amount(metric(self.metric).write(self.most), self.metric)}"

    def keeps(self, row: Row) -> bool | None:
        """``None`` where the row's value is not known."""
        mean = row.mean(self.metric)
        return None if mean is None else mean <= self.most


@dataclass(frozen=True)
class Choice:
    """``best`` keeps all limits, and no better row does; ``unknown`` would be better, but lack a value."""

    best: Row | None
    fitting: tuple[Row, ...]
    unknown: tuple[Row, ...]
    of: int


def choose(table: Table, limits: Sequence[Limit]) -> Choice:
    """Of the ranked rows, which are the best first."""
    kept = {row.configuration_id: [limit.keeps(row) for limit in limits] for row in table.ranked}
    fitting = [row for row in table.ranked if all(kept[row.configuration_id])]
    unknown = [row for row in table.ranked if False not in (found := kept[row.configuration_id]) and None in found]
    return Choice(fitting[0] if fitting else None, tuple(fitting), tuple(unknown), len(table.ranked))


def sentence(table: Table, limits: Sequence[Limit], primary: str) -> str:
    """The answer, for a terminal."""
    found, within = choose(table, limits), " and ".join(limit.words for limit in limits)
    also = f"; not known of {len(found.unknown)}: {_names(found.unknown)}" if found.unknown else ""
    if found.best is None:
        return f"{table.data.label}: none of {found.of} configurations keeps {within}{also}"
    told = f"{value(found.best, primary)}{metric(primary).unit} {metric(primary).words}"
    names = [each.metric for each in limits]
    at = ", ".join(f"{_WORDS[name]} {_amount(value(found.best, name, spread=False), name)}" for name in names)
    fit = f"{len(found.fitting)} of {found.of} fit{also}"
    return f"{table.data.label}: best with {within}: {found.best.label}, {told} ({at}; {fit})"


def _amount(text: str, name: str) -> str:
    return f"{text} {unit}" if (unit := metric(name).unit) else text


def _names(rows: Sequence[Row], most: int = 3) -> str:
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return ", ".join(row.label for row in rows[:most]) + more
