"""A finished run by any of its names: the beginning of its id, its configuration's label, its model, or ``best``.

A configuration has several seeds: of them, the run that was best on validation is meant, by the metric that chose its
epoch, since test images may not choose between seeds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from benchmark.metric_names import sign_of
from benchmark.preparing import UsageProblem
from benchmark.records import Result
from benchmark.run import Run
from reports.leaderboard import Entry, Leaderboard, Row

BEST = "best"
LISTED = 20
_ID = re.compile(r"[0-9a-f]{4,12}")
"""An id's beginning: four digits at least, so that no model's name is taken for one by chance."""


def choose(board: Leaderboard, name: str) -> Entry:
    """The finished run that ``name`` stands for.

    Raises:
        UsageProblem: it stands for none, for several, or for one that has not finished.
    """
    rows = list(chain.from_iterable(table.rows for table in board.tables))
    if name == BEST:
        return _best_seed(_first(board))
    for named in ([row for row in rows if row.label == name], [row for row in rows if row.model == name]):
        if len(named) == 1:
            return _best_seed(named[0])
        if named:
            raise UsageProblem(f"{name!r} fits several configurations; name one of its runs by its id:{_listed(named)}")
    return _by_id(board, rows, name)


def label_of(board: Leaderboard, entry: Entry) -> str:
    """What the configuration of a finished run is called."""
    rows = chain.from_iterable(table.rows for table in board.tables)
    return next(row.label for row in rows if row.configuration_id == entry.run.configuration_id)


def _first(board: Leaderboard) -> Row:
    """The best row of the only table that has one."""
    firsts = [table.ranked[0] for table in board.tables if table.ranked]
    if len(firsts) == 1:
        return firsts[0]
    if firsts:
        raise UsageProblem(f"{BEST!r} fits several data sets; name one of their best runs by its id:{_listed(firsts)}")
    raise UsageProblem("no run has a result to rank yet, so none is the best: `python -m benchmark status` says more")


def _by_id(board: Leaderboard, rows: Sequence[Row], name: str) -> Entry:
    found = [entry for entry in board.entries if _ID.fullmatch(name.lower()) and _begins(entry, name)]
    if len(found) > 1:
        lines = "".join(f"\n  {entry.run.run_id}  {entry.run.model}, seed {entry.run.seed}" for entry in found[:LISTED])
        raise UsageProblem(f"{name!r} is the beginning of several ids:{lines}")
    if not found:
        raise UsageProblem(
            f"{name!r} is no finished run: give the first four digits or more of its id, a configuration or model of "
            f"the leaderboard, or {BEST}; the finished configurations are{_listed(rows) or ' none yet'}"
        )
    if found[0].result is None:
        raise UsageProblem(f"run {found[0].run.run_id} ({found[0].run.model}) is {found[0].status}: it has no result")
    return found[0]


def _begins(entry: Entry, name: str) -> bool:
    return entry.run.run_id.startswith(name.lower())


def _best_seed(row: Row) -> Entry:
    return max(row.done, key=lambda each: merit(each.run, each.result))


def merit(run: Run, result: Result | None) -> tuple[float, int]:
    """The seed of a row that stands for it has the most: by the validation metric that also picks the best epoch; of
    equal ones the lower seed."""
    value = result.metrics.get(run.select) if result else None
    return (float("-inf") if value is None else sign_of(run.select) * value), -run.seed


def _listed(rows: Sequence[Row]) -> str:
    """Each with the run that its configuration would stand for."""
    several = len({row.done[0].run.data_digest for row in rows}) > 1
    lines = [
        f"\n  {(best := _best_seed(row).run).run_id}  {f'{best.data.label}: ' * several}{row.label}"
        for row in rows[:LISTED]
    ]
    return "".join(lines) + ("\n  …" if len(rows) > LISTED else "")
