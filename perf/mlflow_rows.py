"""The runs of a journal in a SQLite store of MLflow's, as our sweeps publish them, by a few large statements.

fill(uri, plan)      # uri of a store that is not there yet

Written are the rows that a search reads: runs, parameters, the latest value of each metric, tags.
"""

# ruff: noqa: TID251

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun, SqlTag
from sqlalchemy import create_engine, text

from benchmark import mlflow_documents as documents
from benchmark import mlflow_record as record
from benchmark.journal import Journal, Outcome
from benchmark.plan import Plan
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.tracking import Publisher, connect

TABLES = {"runs": SqlRun, "params": SqlParam, "latest_metrics": SqlLatestMetric, "tags": SqlTag}
AT = 1_700_000_000_000
"""Milliseconds of Unix time."""


def fill(uri: str, plan: Plan) -> None:
    """Makes the store, the experiment with our view, and in it every run of the plan."""
    name = plan.experiment.name
    Publisher(uri, name, data=plan.data, artifacts=lambda rundir, run: {}).write_view(plan.runs[:1], "test/accuracy")
    experiment = connect(uri).get_experiment_by_name(name)
    with Journal.read(plan.directory) as journal:
        outcomes = journal.outcomes()
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
    for number, run in enumerate(plan.runs):
        for table, found in _rows(run, outcomes[run.run_id], number, experiment.experiment_id).items():
            rows[table] += found
    with create_engine(uri).begin() as connection:
        for table, kind in TABLES.items():
            connection.execute(kind.__table__.insert(), rows[table])
        connection.execute(text("ANALYZE"))


def _rows(run: Run, outcome: Outcome, number: int, experiment: str) -> dict[str, list[dict[str, Any]]]:
    """Table -> rows of one run."""
    mlflow_run_id = f"{number:032x}"
    own = {"run_uuid": mlflow_run_id}
    info = {
        "name": f"{run.model} · seed {run.seed}", "status": "FINISHED", "user_id": "unknown", "start_time": AT + number,
        "end_time": AT + 1000 + number, "artifact_uri": f"file:///nowhere/{mlflow_run_id}", "experiment_id": experiment,
    }  # fmt: skip
    made = record.Record(run, RunDir(Path()), result=outcome.result)
    points = [*record.finals(made), *record.speed(record.Profile(outcome.profile, AT, ""))]
    metrics = [{"key": each.name, "value": each.value, "timestamp": AT, "is_nan": False} for each in points]
    return {
        "runs": [own | info],
        "params": [own | {"key": key, "value": value} for key, value in record.params(run).items()],
        "latest_metrics": [own | each for each in metrics],
        "tags": [own | {"key": key, "value": value} for key, value in _tags(run, outcome, mlflow_run_id).items()],
    }


def _tags(run: Run, outcome: Outcome, uuid: str) -> dict[str, str]:
    assert outcome.result is not None
    document = json.dumps(dataclasses.asdict(outcome.result))
    return {
        record.KIND: "run", record.UUID: uuid, record.STATUS: "done", documents.RESULT: document,
        record.COMMIT: hashlib.sha256(document.encode()).hexdigest(),
        "benchmark.run_id": run.run_id, "benchmark.configuration_id": run.configuration_id,
        **documents.run_tag(run), **documents.measured_tag(outcome.profile),
    }  # fmt: skip
