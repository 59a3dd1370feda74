"""``leaderboard.json`` and ``leaderboard.csv``: the same leaderboard for programs and spreadsheets.

The JSON has every metric of every run; its shape is versioned by ``schema_version``.  The CSV has a line for each
configuration, with the means and standard deviations of all metrics, those without a finished run included.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.across import across
from reports.aggregate import Aggregate
from reports.exhibit import Exhibit
from reports.leaderboard import Entry, Leaderboard, Row, Table, Unranked
from reports.metrics import better
from reports.spent import Spent
from reports.statistics import LEVEL
from reports.study import Interval
from reports.text import cell
from reports.values import all_metrics

SCHEMA_VERSION = 1


def document(leaderboard: Leaderboard, shown: Sequence[Exhibit]) -> dict[str, Any]:
    """The JSON document: ``schema_version``, ``experiment``, ``data``, ``primary``, ``rows``, ``not_ranked``, and what
    holds for the whole experiment; ``shown`` belongs to the tables, in order."""
    header = leaderboard.header
    return {
        "schema_version": SCHEMA_VERSION,
        "experiment": header.experiment,
        "description": header.description,
        "data": [_data(table) for table in leaderboard.tables],
        "primary": header.primary,
        "direction": better(header.primary),
        "command": header.command,
        "commit": header.commit,
        "hardware": header.hardware,
        "workers": header.workers,
        "started": header.started,
        "finished": header.finished,
        "versions": dict(header.versions),
        "cost": _cost(leaderboard),
        "counts": _counts(leaderboard),
        "statistics": [_statistics(each) for each in shown],
        "over_all_data": [vars(each) for each in across(leaderboard)],
        "rows": [_row(each, row) for each in shown for row in each.table.rows],
        "not_ranked": [_not_ranked(each) for each in leaderboard.not_ranked],
    }


def _counts(leaderboard: Leaderboard) -> dict[str, int]:
    """``pruned`` only where a search stopped some."""
    found = {status: leaderboard.counts[status] for status in ("done", "failed", "pending")}
    return {**found, "pruned": leaderboard.counts["pruned"]} if leaderboard.counts["pruned"] else found


def json_text(told: Mapping[str, Any]) -> str:
    """The document as text, a line for each entry of its lists: quick to write, and readable when compared."""
    return "{\n" + ",\n".join(f" {_json(key)}: {_lines_of(each)}" for key, each in told.items()) + "\n}\n"


def table_text(leaderboard: Leaderboard, shown: Sequence[Exhibit]) -> str:
    """The CSV's text; lines end as RFC 4180 has it, and cells that a spreadsheet would take for a
    formula begin with an apostrophe."""
    found = list(lines(leaderboard, shown))
    head = list(dict.fromkeys(key for line in found for key in line))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [cell(key) for key in head])
    writer.writeheader()
    writer.writerows({cell(key): cell(value) for key, value in line.items()} for line in found)
    return buffer.getvalue()


def _lines_of(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return _json(value)
    return "[\n" + ",\n".join(f"  {_json(each)}" for each in value) + "\n ]"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _data(table: Table) -> dict[str, Any]:
    data = table.data
    return {"label": data.label, "digest": data.digest, "classes": list(data.classes), "sizes": dict(data.sizes)}


def _cost(leaderboard: Leaderboard) -> dict[str, Any] | None:
    """``usd`` is ``None`` where it is not known of ``unknown`` of the ``runs`` that have bills."""
    if (spent := leaderboard.spent) is None:
        return None
    return {**vars(spent), "usd": spent.usd, "prices": leaderboard.header.prices}


def _statistics(shown: Exhibit) -> dict[str, Any]:
    """What the numbers of one table rest on."""
    return {
        "data": shown.table.data.label,
        "data_digest": shown.table.data.digest,
        "level": LEVEL,
        "correction": "Holm",
        "pairs": shown.study.pairs,
        "best": shown.study.best,
        "tied": list(shown.study.tied),
        "objectives": list(shown.tradeoffs.objectives),
        "measured_on": {name: list(keys) for name, keys in shown.tradeoffs.groups.items()},
        "notes": list(shown.study.notes),
    }


def _row(shown: Exhibit, row: Row) -> dict[str, Any]:
    table, key = shown.table, row.configuration_id
    versus, intervals = shown.study.versus.get(key), shown.study.intervals.get(key, {})
    return {
        "rank": row.rank,
        "configuration_id": row.configuration_id,
        "label": row.label,
        "model": row.model,
        "architecture": row.architecture,
        "data": table.data.label,
        "data_digest": table.data.digest,
        "hyperparameters": dict(row.hyperparameters),
        "n_seeds": row.n_seeds,
        "planned_seeds": row.planned_seeds,
        "metrics": {name: _metric(each, intervals.get(name)) for name, each in row.metrics.items()},
        "versus_best": vars(versus) if versus else None,
        "pareto": key in shown.tradeoffs.front,
        "dominated_by": shown.tradeoffs.dominated_by.get(key),
        "runs": [_run(entry) for entry in row.entries],
        "answers": vars(answers) if (answers := shown.study.answers.get(key)) else None,
        "notes": list(row.notes),
        "stale": row.stale or None,
    }


def _metric(found: Aggregate, interval: Interval | None) -> dict[str, Any]:
    if found.mean is None:
        return {"mean": None, "reason": found.reason}
    told = {"mean": found.mean, "sd": found.sd, "values": list(found.values)}
    return told | ({"interval": vars(interval)} if interval else {})


def _run(entry: Entry) -> dict[str, Any]:
    return {
        "run_id": entry.run.run_id,
        "seed": entry.run.seed,
        "status": entry.status,
        "mlflow_run_id": entry.mlflow_run_id,
        "metrics": all_metrics(entry.result, entry.profile),
    }


def _not_ranked(each: Unranked) -> dict[str, Any]:
    return {
        "run_id": each.entry.run.run_id,
        "configuration_id": each.entry.run.configuration_id,
        "data": each.data.label,
        "data_digest": each.data.digest,
        "label": each.label,
        "model": each.entry.run.model,
        "seed": each.entry.run.seed,
        "status": each.entry.status,
        "kind": each.kind,
        "reason": each.reason,
        "log": each.entry.log,
        "metrics": all_metrics(each.entry.result, each.entry.profile),
    }


def lines(leaderboard: Leaderboard, shown: Sequence[Exhibit]) -> Iterator[dict[str, Any]]:
    """A line of the CSV for each configuration, its cells as they are."""
    for each in shown:
        for row in each.table.rows:
            yield _line(each, row)
        yield from _without_result(leaderboard, each.table)


def _line(shown: Exhibit, row: Row) -> dict[str, Any]:
    table, primary = shown.table, shown.primary
    versus = shown.study.versus.get(row.configuration_id)
    reason = row.metrics[primary].reason if primary in row.metrics else f"{primary} was not recorded"
    line = {
        "rank": row.rank,
        **_identity(table, row.entries[0]),
        "architecture": row.architecture,
        "n_seeds": row.n_seeds,
        "planned_seeds": row.planned_seeds,
        "not_ranked": reason,
        "vs best": versus.difference if versus else None,
        "adjusted p": versus.adjusted if versus else None,
        "tied with best": versus.tied if versus else None,
        "worse beyond doubt": versus.apart if versus else None,
        "pareto": row.configuration_id in shown.tradeoffs.front,
    }
    for name, found in row.metrics.items():
        line |= {name: found.mean, f"{name} sd": found.sd}
        if each := shown.study.interval(row.configuration_id, name):
            line |= {f"{name} low": each.low, f"{name} high": each.high}
    return line | _total(row.entries) | _hyperparameters(row.entries[0])


def _without_result(leaderboard: Leaderboard, table: Table) -> Iterator[dict[str, Any]]:
    """Configurations of which no seed has finished."""
    known = {row.configuration_id for row in table.rows}
    groups: dict[str, list[Unranked]] = {}
    for each in leaderboard.not_ranked:
        key = each.entry.run.configuration_id
        if key not in known and each.data.digest == table.data.digest:
            groups.setdefault(key, []).append(each)
    for group in groups.values():
        reasons = dict.fromkeys(f"{each.kind}: {each.reason}" for each in group)
        entry, planned = group[0].entry, len(group)
        line = {**_identity(table, entry), "n_seeds": 0, "planned_seeds": planned, "not_ranked": "; ".join(reasons)}
        yield line | _total([each.entry for each in group]) | _hyperparameters(entry)


def _total(entries: Sequence[Entry]) -> dict[str, float | None]:
    """Dollars of all runs of a configuration, those that failed included, so that the lines add up to the whole."""
    spent = Spent.of(entry.profile for entry in entries)
    return {"cost/usd total": spent.usd} if spent else {}


def _identity(table: Table, entry: Entry) -> dict[str, Any]:
    return {"data": table.data.label, "model": entry.run.model, "configuration_id": entry.run.configuration_id}


def _hyperparameters(entry: Entry) -> dict[str, Any]:
    return {key: value for key, value in entry.run.hyperparameters.items() if key != "model"}
