"""Bringing a finished run's parameters and metrics to MLflow, against a call for each value, as most scripts do it.

    python perf/publishing.py                 30 runs of 20 epochs, to a SQLite store and to a server of MLflow's
    python perf/publishing.py --runs 6 --slow 2

Ours is what a sweep does for each run, figures apart: one run made, epochs, results, tags, the data set, the documents
beside them as artifacts, and the mark that all is there.  The other side makes a run, and logs the same parameters and
metrics one by one, in a store of its own with SQLite's default settings.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmark import mlflow_record
from benchmark.mlflow_store import sqlite_uri
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.tracking import Publisher, connect
from perf.sides import RATIO_GUARD, Figure, Side, finish, parser
from tests import mlflow_support

MOST_FILE, MOST_SERVER = 80.0, 300.0
"""Milliseconds a run."""


@dataclass(frozen=True)
class Clock:
    """What measures, and what its milliseconds are called."""

    seconds: Callable[[], float]
    unit: str

    def milliseconds(self, work: Callable[..., object], *arguments: object) -> float:
        started = self.seconds()
        work(*arguments)
        return 1000 * (self.seconds() - started)


CLOCKS = {"wall": Clock(time.perf_counter, "ms a run"), "cpu": Clock(time.process_time, "CPU ms a run")}


def main() -> int:
    """Prints a line for each kind of store; 1 where a limit is not kept."""
    options = parser(__doc__, guard=RATIO_GUARD)
    options.add_argument("--runs", type=int, default=30)
    options.add_argument("--slow", type=int, default=3, help="runs of the other side")
    options.add_argument("--epochs", type=int, default=20)
    options.add_argument("--stores", nargs="+", default=["file", "server"], choices=["file", "server"])
    options.add_argument(
        "--clock", default="wall", choices=list(CLOCKS), help="cpu: of this process, for a busy machine"
    )
    arguments = options.parse_args()
    clock = CLOCKS[arguments.clock]
    figures = []
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        runs = [_finished(home, seed, arguments.epochs) for seed in range(arguments.runs)]
        if "file" in arguments.stores:
            (home / "theirs").mkdir()
            uris = sqlite_uri(home / "ours.db"), f"sqlite:///{home}/theirs/mlflow.db"
            figures.append(_figure("publishing to a SQLite file", runs, arguments.slow, clock, *uris, MOST_FILE))
        if "server" in arguments.stores:
            (home / "server").mkdir()
            with mlflow_support.mlflow_server(home / "server", home / "server.log") as address:
                uris = address, address
                figures.append(
                    _figure("publishing to MLflow's server", runs, arguments.slow, clock, *uris, MOST_SERVER)
                )
    return finish("publishing", figures, arguments.json, arguments.guard)


def _finished(home: Path, seed: int, epochs: int) -> tuple[Run, RunDir]:
    run = mlflow_support.a_run(seed=seed)
    rundir = mlflow_support.new_rundir(home, run)
    for number in range(1, epochs + 1):
        rundir.append_event(mlflow_support.epoch(number))
    mlflow_support.finish(rundir)
    return run, rundir


def _figure(
    what: str, runs: Sequence[tuple[Run, RunDir]], slow: int, clock: Clock, ours: str, theirs: str, most: float
) -> Figure:  # fmt: skip
    publisher = Publisher(ours, "ours", data=mlflow_support.FACTS, artifacts=lambda rundir, run: {})
    publish = lambda number: publisher.publish(*runs[number], uuid=f"{number:032x}", mlflow_run_id=None)  # noqa: E731
    others = _OneByOne(theirs)
    publish(0)
    found, reference = [], []
    for number in range(1, len(runs)):
        found.append(clock.milliseconds(publish, number))
        if number <= slow:  # beside ours, since a machine's speed drifts
            reference.append(clock.milliseconds(others.log, *runs[number]))
    return Figure(what, clock.unit, Side("ours", tuple(found)), Side("a call for each value", tuple(reference)), most)


class _OneByOne:
    """A run the way of MLflow's own examples."""

    def __init__(self, uri: str) -> None:
        self._client = connect(uri)
        self._experiment = self._client.create_experiment("theirs")

    def log(self, run: Run, rundir: RunDir) -> None:
        made = self._client.create_run(self._experiment).info.run_id
        for name, value in mlflow_record.params(run).items():
            self._client.log_param(made, name, value)
        for event in rundir.read_events():
            for name, value in event.metrics.items():
                self._client.log_metric(made, name, value, step=event.epoch)
        result = rundir.read_result()
        assert result is not None
        for name, value in result.metrics.items():
            if value is not None:
                self._client.log_metric(made, name, value)
        self._client.set_terminated(made)


if __name__ == "__main__":
    sys.exit(main())
