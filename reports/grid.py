"""The leaderboard's table and the lines under it, in Markdown."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from reports import standing
from reports.exhibit import Exhibit
from reports.leaderboard import Entry, Header, Row, Table
from reports.metrics import COLUMNS, metric
from reports.settings import ABSENT, caption, setting, write
from reports.summary import value
from reports.tables import grid
from reports.text import markdown

OF_A_MACHINE = ("speed/", "cost/")
"""Metrics that are compared on one machine only."""
OWN_COLUMN = 3
"""Hyperparameters that have a column each; more share one, so that the table stays readable."""


def ranking(shown: Exhibit, directory: Path) -> str:
    """A row for each configuration, best first; links lead from ``directory`` to the run directories.  Where speed was
    measured on several machines, a table for each, since times are compared within one only."""
    groups = shown.tradeoffs.groups
    if len(groups) < 2:
        return _ranking(shown, shown.table.rows, directory)
    blocks = []
    for name, keys in groups.items():
        rows = [row for row in shown.table.rows if row.configuration_id in keys]
        blocks += [f"#### Measured on {markdown(name)}", _ranking(shown, rows, directory)]
    rest = [row for row in shown.table.rows if row.rank is None]
    return "\n\n".join([*blocks, *([_ranking(shown, rest, directory)] if rest else [])])


def _ranking(shown: Exhibit, rows: Sequence[Row], directory: Path) -> str:
    table, primary = shown.table, shown.primary
    names, settings, study = columns(table, primary), setting_columns(table), _study_columns(shown)
    best = {name: best_reading(rows if name.startswith(OF_A_MACHINE) else table.ranked, name) for name in names}
    heads = [metric(name).heading for name in names]
    lines = []
    for row in rows:
        cells = [_cell(row, name, name == primary, best[name]) for name in names]
        varied = [settings_of(row, keys) for keys in settings.values()]
        studied = [markdown(column(shown, row)) for column in study.values()]
        star = [standing.pareto(shown, row)] if shown.tradeoffs.front else []
        lines.append(
            [standing.rank(shown, row), _model(row), *varied, cells[0], *studied, seeds_of(row), *cells[1:], *star,
             _links(row, directory)]
        )  # fmt: skip
    stars = ["Pareto"] if shown.tradeoffs.front else []
    return grid(
        ["rank", "model", *settings, heads[0], *study, "seeds", *heads[1:], *stars, "runs"],
        ["--:", ":--", *[":--"] * len(settings), "--:", *["--:"] * (len(study) + 1), *["--:"] * (len(names) - 1),
         *[":-:"] * len(stars), ":--"],
        lines,
    )  # fmt: skip


def _study_columns(shown: Exhibit) -> dict[str, Callable[[Exhibit, Row], str]]:
    """Title -> cell, of those that any row has."""
    found: dict[str, Callable[[Exhibit, Row], str]] = {}
    if any(shown.primary in each for each in shown.study.intervals.values()):
        found["95% interval"] = standing.interval
    if shown.study.versus:
        found["vs best"] = standing.against_best
    return found


def columns(table: Table, primary: str) -> list[str]:
    """The primary metric, then those that any row has and that do not read the same in all of several rows."""
    same = constants(table, primary)
    return [primary, *(name for name in _recorded(table) if name not in {primary, *same})]


def constants(table: Table, primary: str) -> dict[str, str]:
    """Metric -> how it reads in all of several rows, of those that describe the model or its costs: one network with
    several learning rates has one number of parameters."""
    if len(table.rows) < 2:
        return {}
    found = {}
    for name in _recorded(table):
        readings = {value(row, name, spread=False) for row in table.rows}
        if len(readings) == 1 and name != primary and name.partition("/")[0] not in {"test", "val"}:
            found[name] = readings.pop()
    return found


def _recorded(table: Table) -> list[str]:
    return [name for name in COLUMNS if any(name in row.metrics for row in table.rows)]


def notes(shown: Exhibit, header: Header) -> str:
    """How to read the table, a sentence for each thing that is there."""
    table = shown.table
    lines = [_spread(table), *map(markdown, standing.explained(shown))]
    if any(row.n_seeds < row.planned_seeds for row in table.rows):
        lines.append("⚠ fewer seeds than planned: the missing ones are below, under Not ranked.")
    if any(standing.rank(shown, row).endswith(standing.TIED) for row in table.ranked):
        lines += [] if shown.study.versus else ["= exactly equal means."]
    lines.append("Epochs and weights were chosen on validation; test images were used once, for these numbers.")
    if any(name.startswith("speed/") for row in table.rows for name in row.metrics):
        lines.append(_speed(table, header))
    lines += [f"{markdown(row.label)}: {markdown(note)}." for row in table.rows for note in row.notes]
    constant = [f"{metric(name).title} {text}" for name, text in constants(table, header.primary).items()]
    same = f"All rows: {', '.join([*map(markdown, caption(table.fixed)), *constant])}."
    return f"{same}\n\n{' '.join(lines + _undefined(table, header.primary))}"


def _spread(table: Table) -> str:
    if any(row.n_seeds > 1 for row in table.rows):
        return "± is the standard deviation over seeds; those of the other columns are in leaderboard.csv."
    return "One seed each: how much the numbers vary from seed to seed is not known."


def _speed(table: Table, header: Header) -> str:
    batches = {row.mean("speed/batch_size") for row in table.rows} - {None}
    sizes = " or ".join(f"{batch:g}" for batch in sorted(filter(None, batches)))
    rate = f"img/s: inference in batches of {sizes}; latency: the median of one image at a time. " if sizes else ""
    return rate + markdown(header.speed_note)


def _undefined(table: Table, primary: str) -> list[str]:
    """Why a cell has no number; reasons that several rows share stand once."""
    rows: dict[str, list[str]] = {}
    names = columns(table, primary)
    for row in table.rows:
        for name in names:
            found = row.metrics.get(name)
            if found and found.reason:
                known = metric(name)
                rows.setdefault(f"{known.missing} {known.title}: {found.reason}", []).append(row.label)
    return [f"{markdown(reason)} ({markdown(', '.join(labels), 120)})." for reason, labels in rows.items()]


def setting_columns(table: Table) -> dict[str, tuple[str, ...]]:
    """Title -> the hyperparameters of the column."""
    if len(table.varying) > OWN_COLUMN:
        return {"settings": table.varying}
    return {markdown(key): (key,) for key in table.varying}


def settings_of(row: Row, keys: Sequence[str]) -> str:
    there = [key for key in keys if key in row.hyperparameters]
    if len(keys) == 1:
        return markdown(write(row.hyperparameters[keys[0]])) if there else ABSENT
    return markdown(", ".join(setting(key, row.hyperparameters[key]) for key in there)) or ABSENT


def _model(row: Row) -> str:
    architecture = f"<br><sub>{markdown(row.architecture)}</sub>" if row.architecture else ""
    return markdown(row.model) + architecture


def seeds_of(row: Row) -> str:
    return f"{row.n_seeds}/{row.planned_seeds}{'' if row.n_seeds == row.planned_seeds else ' ⚠'}"


def _cell(row: Row, name: str, spread: bool, best: str | None) -> str:
    text = value(row, name, spread=spread)
    return f"**{text}**" if best is not None and value(row, name, spread=False) == best else text


def best_reading(rows: Sequence[Row], name: str) -> str | None:
    """How the best mean of a column reads; ``None`` where no direction is better or all rows read the same."""
    known = metric(name)
    means = [mean for row in rows if row.rank is not None and (mean := row.mean(name)) is not None]
    if known.direction is None or len({known.write(mean) for mean in means}) < 2:
        return None
    return markdown(known.write(max(means) if known.direction == "higher" else min(means)))


def _links(row: Row, directory: Path) -> str:
    return " ".join(_link(entry, directory) for entry in row.entries)


def _link(entry: Entry, directory: Path) -> str:
    """To the run directory where it lies below the page, so that the link holds when both move together."""
    text = f"s{entry.run.seed}"
    if entry.status != "done":
        return f"~~{text}~~"
    if entry.directory is None:
        return text
    path = Path(os.path.relpath(entry.directory, directory))
    return text if path.parts[0] == ".." else f"[{text}]({quote(path.as_posix())}/)"
