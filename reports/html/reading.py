"""What the page's plots are drawn from, read from the run directories of the best rows: evaluations and epochs.

A run directory without the files, or with broken ones, costs its part of the plots and is named in ``troubles``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmark.records import Evaluation, Event
from benchmark.rundir import BrokenFile, RunDir
from reports.leaderboard import Entry, Row, Table

ROWS = 50
"""Rows that are plotted."""
ROOM = 64 * 2**20
"""Bytes of evaluations that are read at most, beyond the best ``SURE`` rows: a thousand classes have large ones."""
SURE = 3
SPLIT = "test"
T = TypeVar("T")


@dataclass(frozen=True)
class Lesson:
    """The epochs of one finished run, when it started (Unix seconds), and its dollars, where they are known."""

    events: tuple[Event, ...]
    started: float
    usd: float | None


@dataclass(frozen=True)
class Reading:
    """Configuration id -> what its finished seeds left; ``classes`` are the names of the classes."""

    classes: tuple[str, ...]
    evaluations: Mapping[str, tuple[Evaluation, ...]]
    lessons: Mapping[str, tuple[Lesson, ...]]
    troubles: tuple[str, ...]


def read(table: Table) -> Reading:
    """The reading of the best rows of a table."""
    troubles: list[str] = []
    rows = table.ranked[:ROWS]
    evaluations = {row.configuration_id: _all(row, _evaluation, "evaluation", troubles) for row in _affordable(rows)}
    lessons = {row.configuration_id: _all(row, _lesson, "learning curve", troubles) for row in rows}
    found = next((each[0] for each in evaluations.values() if each), None)
    classes = tuple(each.name for each in found.per_class) if found else table.data.classes
    alike = {key: tuple(e for e in each if len(e.confusion) == len(classes)) for key, each in evaluations.items()}
    return Reading(classes, _some(alike), _some(lessons), tuple(troubles))


def _affordable(rows: Sequence[Row]) -> list[Row]:
    kept, room = [], ROOM
    for place, row in enumerate(rows):
        room -= sum(_size(entry.directory) for entry in row.done)
        if place < SURE or room >= 0:
            kept.append(row)
    return kept


def _size(directory: Path | None) -> int:
    try:
        return (directory / "evaluation.json").stat().st_size if directory else 0
    except OSError:
        return 0


def _all(row: Row, read_one: Callable[[RunDir, Entry], T], what: str, troubles: list[str]) -> tuple[T, ...]:
    found = []
    for entry in row.done:
        if entry.directory is None:
            continue
        try:
            found.append(read_one(RunDir(entry.directory), entry))
        except (BrokenFile, KeyError):
            troubles.append(f"{row.label}, seed {entry.run.seed}: no {what}, its file cannot be read")
    return tuple(found)


def _evaluation(rundir: RunDir, entry: Entry) -> Evaluation:
    return rundir.read_evaluation()[SPLIT]


def _lesson(rundir: RunDir, entry: Entry) -> Lesson:
    started = entry.result.started if entry.result else 0.0
    return Lesson(rundir.read_events(), started, entry.profile.get("cost/usd"))


def _some(found: Mapping[str, tuple[T, ...]]) -> dict[str, tuple[T, ...]]:
    return {key: each for key, each in found.items() if each}
