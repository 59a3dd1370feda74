"""`report a/ b/`: one leaderboard of several directories of results, such as sweeps of several machines.

board = merged([Path("here/results/tour"), Path("there/results/tour")])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.boards import kept
from benchmark.preparing import UsageProblem
from reports.leaderboard import DataSummary, Entry, Leaderboard, build

NOT_QUALITY = ("cost/", "speed/")
"""Metrics in which two tries of one run may differ."""


def merged(directories: Sequence[Path]) -> Leaderboard:
    """The runs of all of them; one that is in several counts once, finished before failed before pending.

    Raises:
        UsageProblem: a directory has no runs, they rank by different metrics, a data set's images differ under one
            name, or one run has two different results.
    """
    if strange := [str(each) for each in directories if not (each / "journal.db").exists()]:
        raise UsageProblem(
            f"no results of a sweep in {', '.join(strange)}: name directories such as results/fashion-tour"
        )
    boards = {directory: kept(directory) for directory in directories}
    first = next(iter(boards.values()))
    for directory, board in boards.items():
        if board.header.primary != first.header.primary:
            raise UsageProblem(
                f"{directories[0]} ranks by {first.header.primary}, {directory} by {board.header.primary}"
            )
    data = _data(boards)
    entries: dict[str, tuple[Path, Entry]] = {}
    for directory, board in boards.items():
        for entry in board.entries:
            entries[entry.run.run_id] = _better(entries.get(entry.run.run_id), (directory, entry))
    name = " + ".join(dict.fromkeys(board.header.experiment for board in boards.values()))
    descriptions = dict.fromkeys(board.header.description for board in boards.values() if board.header.description)
    header = replace(first.header, experiment=name, data=data, description=" ".join(descriptions))
    return build([entry for _, entry in entries.values()], header)


def _data(boards: Mapping[Path, Leaderboard]) -> tuple[DataSummary, ...]:
    """Every data set once."""
    known: dict[str, tuple[Path, DataSummary]] = {}
    for directory, board in boards.items():
        for table in board.tables:
            other, data = known.setdefault(table.data.label, (directory, table.data))
            if data.digest != table.data.digest:
                digests = f"({data.digest[:8]} and {table.data.digest[:8]})"
                raise UsageProblem(
                    f"{other} and {directory} have different images under the name {data.label!r} {digests}: "
                    "results of different tests cannot be ranked together"
                )
            if len(table.data.sizes) > len(data.sizes):
                known[data.label] = (directory, table.data)
    return tuple(data for _, data in known.values())


def _better(old: tuple[Path, Entry] | None, new: tuple[Path, Entry]) -> tuple[Path, Entry]:
    if old is None:
        return new
    if old[1].result and new[1].result and _quality(old[1]) != _quality(new[1]):
        raise UsageProblem(
            f"{old[0]} and {new[0]} have different results of run {new[1].run.run_id}: remove one of them "
            "(`python -m benchmark rm`), or see what differs (`python -m benchmark reproduce`)"
        )
    order = ("done", "failed", "pruned", "pending")
    return min(old, new, key=lambda each: order.index(each[1].status))


def _quality(entry: Entry) -> dict[str, float | None]:
    metrics = entry.result.metrics if entry.result else {}
    return {name: value for name, value in metrics.items() if not name.startswith(NOT_QUALITY)}
