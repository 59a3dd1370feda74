"""The page's table, in HTML: it can be read without a script, which sorts and filters what stands here.

A cell's ``data-sort`` is what it is sorted by; one without has no value and comes last either way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from reports import standing
from reports.exhibit import Exhibit
from reports.grid import OF_A_MACHINE, best_reading, columns, seeds_of, setting_columns, settings_of
from reports.html.inline import escaped, inline
from reports.html.versus import interval_cell, versus_cell
from reports.leaderboard import Entry, Row
from reports.metrics import metric
from reports.summary import value
from reports.text import one_line

ROWS = 500
"""Rows of the page; the rest of a longer table is in leaderboard.csv."""
Readings = Mapping[str, str | None]
"""Configuration id -> how the best mean that a row is compared with reads."""


@dataclass(frozen=True)
class Column:
    """``first`` is the order that a first click gives, ``ascending`` or ``descending``; ``numbers`` stand at the
    right."""

    title: str
    first: str = "ascending"
    numbers: bool = False


def table(part: Exhibit, primary: str, directory: Path, looks: Mapping[str, int]) -> str:
    """The table of one data set; links lead from ``directory`` to the run directories.  ``looks``:
    configuration id -> the number of its look."""
    heads = "".join(_head(each) for each in _columns(part, primary))
    best = {name: _best(part, name) for name in columns(part.table, primary)}
    rows = []
    for place, row in enumerate(part.table.rows[:ROWS]):
        cells = "".join(_cells(part, row, primary, directory, best, looks[row.configuration_id]))
        rows.append(f'<tr data-row="{place}" data-model="{escaped(row.model)}" data-status="{_status(part, row)}">')
        rows.append(f"{cells}</tr>\n")
    return f"<table><thead><tr>{heads}</tr></thead><tbody>\n{''.join(rows)}</tbody></table>"


def _columns(part: Exhibit, primary: str) -> list[Column]:
    names = columns(part.table, primary)
    compared = [Column("95% interval", "descending", True)] * bool(part.study.intervals)
    compared += [Column("vs best", "descending", True)] * bool(part.study.versus)
    return [
        Column("rank", numbers=True),
        Column("model"),
        *(Column(title) for title in setting_columns(part.table)),
        _metric_column(primary),
        *compared,
        Column("seeds", "descending", True),
        *(_metric_column(name) for name in names[1:]),
        *([Column("measured on")] * (len(part.tradeoffs.groups) > 1)),
        *([Column("Pareto", "descending")] * bool(part.tradeoffs.front)),
        Column("runs"),
    ]


def _best(part: Exhibit, name: str) -> Readings:
    """How the best mean of a column reads; of speed and cost, the best of what was measured alike."""
    groups = part.tradeoffs.groups.values() if name.startswith(OF_A_MACHINE) else ()
    alike = [[row for row in part.table.rows if row.configuration_id in ids] for ids in groups]
    read = [(rows, best_reading(rows, name)) for rows in alike or [list(part.table.rows)]]
    return {row.configuration_id: reading for rows, reading in read for row in rows}


def _metric_column(name: str) -> Column:
    known = metric(name)
    return Column(known.heading, "descending" if known.direction == "higher" else "ascending", True)


def _head(column: Column) -> str:
    numbers = ' class="n"' if column.numbers else ""
    title = inline(column.title)
    return f'<th scope="col"{numbers} data-first="{column.first}">{title}</th>'


def _cells(
    part: Exhibit, row: Row, primary: str, directory: Path, best: Mapping[str, Readings], look: int
) -> Iterator[str]:
    _, *names = best
    reading = {name: each.get(row.configuration_id) for name, each in best.items()}
    yield _cell(standing.rank(part, row), row.rank, "n")
    yield f'<th scope="row" data-sort="{escaped(row.label)}">{_model(row, look)}</th>'
    for keys in setting_columns(part.table).values():
        yield _cell(inline(settings_of(row, keys)), _setting(row, keys), "set" if len(keys) == 1 else "settings")
    yield _metric_cell(row, primary, reading[primary], spread=True)
    yield from [interval_cell(part, row, primary)] * bool(part.study.intervals)
    yield from [versus_cell(part, row, primary)] * bool(part.study.versus)
    yield _cell(inline(seeds_of(row)), row.n_seeds, "n")
    yield from (_metric_cell(row, name, reading[name], spread=False) for name in names)
    yield from [_measured(part, row)] * (len(part.tradeoffs.groups) > 1)
    yield from [_pareto(part, row)] * bool(part.tradeoffs.front)
    yield _cell(" ".join(_link(entry, directory) for entry in row.entries), None, "runs")


def _cell(content: str, sort: object = None, kind: str = "") -> str:
    attributes = f' class="{kind}"' if kind else ""
    attributes += "" if sort is None else f' data-sort="{escaped(str(sort))}"'
    return f"<td{attributes}>{content}</td>"


def _metric_cell(row: Row, name: str, best: str | None, *, spread: bool) -> str:
    text, mean = value(row, name, spread=spread), row.mean(name)
    shown = f"**{text}**" if best is not None and value(row, name, spread=False) == best else text
    return _cell(inline(shown), None if mean is None else f"{mean:.9g}", "n")


def _model(row: Row, look: int) -> str:
    below = f"<small>{escaped(row.architecture)}</small>" if row.architecture else ""
    mark = f'<svg class="mark m{look}" aria-hidden="true" data-look="{look}"></svg>'
    return f'<span class="model">{mark}{escaped(one_line(row.model, 60))}</span>{below}'


def _setting(row: Row, keys: Sequence[str]) -> object:
    """A number sorts as a number."""
    if len(keys) != 1:
        return ", ".join(str(row.hyperparameters.get(key, "")) for key in keys)
    return row.hyperparameters.get(keys[0])


def _pareto(part: Exhibit, row: Row) -> str:
    if row.configuration_id in part.tradeoffs.front:
        return _cell('<span class="star">★</span>', 1, "pareto")
    by = part.tradeoffs.dominated_by.get(row.configuration_id)
    return _cell(f"<small>dominated by {escaped(part.label(by))}</small>" if by else "", 0, "pareto")


def _measured(part: Exhibit, row: Row) -> str:
    words = next((each for each, ids in part.tradeoffs.groups.items() if row.configuration_id in ids), "")
    return _cell(escaped(one_line(words)), words or None, "settings")


def _status(part: Exhibit, row: Row) -> str:
    whole = "whole" if row.n_seeds == row.planned_seeds else "partial"
    first = " first" if row.rank == 1 or part.is_tied(row) else ""
    return f"{whole}{first}{' front' if row.configuration_id in part.tradeoffs.front else ''}"


def _link(entry: Entry, directory: Path) -> str:
    """To the run directory where it lies below the page, so that the link holds when both move together."""
    text = f"s{entry.run.seed}"
    if entry.status != "done":
        return f"<s>{text}</s>"
    path = Path(os.path.relpath(entry.directory, directory)) if entry.directory else Path("..")
    return text if path.parts[0] == ".." else f'<a href="{quote(path.as_posix())}/">{text}</a>'
