"""The machine's clock is set forward and back while a sweep runs: nothing times out, and no duration is nonsense."""

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from benchmark.mlflow_record import Record
from benchmark.records import Event, Failure
from benchmark.run import Run
from benchmark.rundir import RunDir
from tests.killed_experiment import ROOT, Experiment

DAY = 86_400.0
SHIFT = """
import os, time
def shifted(clock, unit, path=os.environ["SHIFT"]):
    def now():
        with open(path) as file:
            return clock() + unit(float(file.read() or 0))
    return now
time.time = shifted(time.time, float)
time.time_ns = shifted(time.time_ns, lambda seconds: int(seconds * 1e9))
"""
"""Python imports it in every process of the sweep."""


@pytest.mark.nightly
@pytest.mark.slow
def test_a_clock_that_is_set_while_a_sweep_runs_changes_no_result_and_no_duration(tmp_path: Path) -> None:
    shift = tmp_path / "shift"
    shift.write_text("0")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SHIFT)
    variables = {"SHIFT": str(shift), "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}
    undisturbed = Experiment(tmp_path / "undisturbed", tmp_path / "cache", seeds=2, epochs=60)
    undisturbed.finish()
    experiment = Experiment(tmp_path / "shifted", tmp_path / "cache", seeds=2, epochs=60, variables=variables)
    process = experiment.begin()
    for days in (1, -2, 0.5):
        before = epochs(experiment)
        while epochs(experiment) < before + 30 and process.poll() is None:
            time.sleep(0.02)
        shift.write_text(str(days * DAY))
    assert process.wait(200) == 0, experiment.output
    assert experiment.state() == undisturbed.state()
    document = json.loads((experiment.results / "leaderboard.json").read_text())
    started = [run_times(path) for path in experiment.results.glob("runs/*/result.json")]
    assert max(first for first, _ in started) - min(first for first, _ in started) > DAY / 4, "the clock was not set"
    assert all(0 < last - first < DAY / 10 for first, last in started)
    seconds = [run["metrics"]["cost/train_seconds"] for row in document["rows"] for run in row["runs"]]
    assert all(0 < each < DAY / 10 for each in seconds)
    with closing(sqlite3.connect(experiment.home / "mlflow.db")) as store:
        spans = store.execute("SELECT end_time - start_time FROM runs WHERE lifecycle_stage = 'active'").fetchall()
    assert len(spans) >= 4
    assert all(0 <= span < DAY / 10 * 1000 for (span,) in spans)


def epochs(experiment: Experiment) -> int:
    """How many epochs all runs have had."""
    return sum(path.read_bytes().count(b"\n") for path in experiment.results.glob("runs/*/checkpoint/events.jsonl"))


def run_times(path: Path) -> tuple[float, float]:
    document = json.loads(path.read_text())
    return document["started"], document["finished"]


def test_a_run_ends_in_mlflow_no_sooner_than_its_last_epoch(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path)
    rundir.append_event(Event(1, 10, 2 * DAY, {}))
    rundir.write_failure(Failure("killed", "the clock had been set back", time=DAY))
    assert Record.read(Run.__new__(Run), rundir, {}).finished == 2 * DAY * 1000
