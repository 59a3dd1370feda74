"""What must be the same however often something was killed: the leaderboard's quality and ranks, and MLflow's rows."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

CHANGING = ("cost/", "speed/", "epoch/")
"""Metrics of time, money and load."""
SECTIONS = ("test", "val", "train", "model")


def state(results: Path, store: Path) -> dict[str, Any]:
    """All of it, of the experiment in ``results`` that was published to ``store``."""
    document = json.loads((results / "leaderboard.json").read_text())
    return {"quality": quality(document), "ranks": ranks(document), "mlflow": tracked(store)}


def quality(document: dict[str, Any]) -> dict[str, Any]:
    """Run id -> its metrics, without time, memory and load."""
    runs = [run for row in document["rows"] for run in row["runs"]]
    assert len({run["run_id"] for run in runs}) == len(runs), "a run is counted twice"
    return {
        run["run_id"]: {k: v for k, v in run["metrics"].items() if k.split("/")[0] in SECTIONS} for run in runs
    }  # fmt: skip


def ranks(document: dict[str, Any]) -> list[Any]:
    return [[row["rank"], row["configuration_id"], row["n_seeds"], row["planned_seeds"]] for row in document["rows"]]


def tracked(store: Path) -> dict[str, Any]:
    """Run id -> what MLflow has of it: its values, each logged once; nothing may be open or twice."""
    with closing(sqlite3.connect(store)) as database:
        query = (
            "SELECT r.run_uuid, r.status, i.value, (SELECT value FROM tags c WHERE c.run_uuid = r.run_uuid AND "
            "c.key = 'benchmark.commit') FROM runs r JOIN tags i ON i.run_uuid = r.run_uuid AND "
            "i.key = 'benchmark.run_id' WHERE r.lifecycle_stage = 'active'"
        )
        rows = database.execute(query).fetchall()
        assert len({row[2] for row in rows}) == len(rows), "a run is in MLflow twice"
        for uuid, status, run_id, commit in rows:
            assert status == "FINISHED", f"{run_id} is {status} in MLflow ({uuid})"
            assert commit, f"{run_id} is not whole in MLflow"
        (ghosts,) = database.execute(
            "SELECT COUNT(*) FROM runs WHERE lifecycle_stage = 'active' AND status = 'RUNNING'"
        ).fetchone()
        assert ghosts == 0
        return {run_id: _points(database, uuid) for uuid, _, run_id, _ in rows}


def _points(database: sqlite3.Connection, uuid: str) -> list[Any]:
    query = "SELECT key, step, COUNT(*), value FROM metrics WHERE run_uuid = ? GROUP BY key, step ORDER BY key, step"
    rows = database.execute(query, (uuid,)).fetchall()
    twice = [f"{key} of step {step}" for key, step, count, _ in rows if count != 1]
    assert not twice, f"logged more than once: {twice}"
    return [[key, step, value] for key, step, _, value in rows if not key.startswith(CHANGING)]
