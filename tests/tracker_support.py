"""Sweeps over stub jobs with a tracker that may be away, and what a store holds in the end; for tests.

What a store holds is compared with what an undisturbed publisher makes of the same run directories.
"""

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.data.datasets import DataFacts
from benchmark.forecast import Effort, Forecast
from benchmark.journal import Journal
from benchmark.lock import exclusive
from benchmark.mlflow_store import answers, prepare, sqlite_uri
from benchmark.publishing import Publishing, Trouble
from benchmark.run import DataSpec, Run
from benchmark.sweep import Ended, Interrupt, Settings, Site, Sweep, SweepEvent
from benchmark.tracking import Publisher
from launch.fast_local import FastLocal

STUB = Path(__file__).with_name("stub_job.py")
SPEC = DataSpec("synthetic")
FACTS = DataFacts("d" * 64, ("a", "b"), 8, 1, {"train": 2, "val": 1, "test": 1})


def new_store(directory: Path) -> Path:
    """An empty store."""
    path = directory / "mlflow.db"
    prepare(sqlite_uri(path))
    return path


def pictures(directory: Path) -> list[bytes]:
    """What the artifacts below ``directory`` hold that each run has one of."""
    return [path.read_bytes() for path in directory.rglob("a.png")]


def runs_of(number: int, model: str = "good") -> list[Run]:
    return [
        Run(SPEC, model, data_digest="d" * 64, seed=seed, image_size=8, channels=1, epochs=3) for seed in range(number)
    ]


@dataclass
class Experiment:
    """Sweeps over one directory, published as the MLflow experiment ``name`` at ``uri``."""

    directory: Path
    uri: str
    name: str
    publishing: list[Publishing] = field(default_factory=list)

    def sweep(
        self, runs: Sequence[Run], *, workers: int = 2, finish: float = 120,
        look: Callable[[SweepEvent], None] = lambda event: None,
    ) -> list[SweepEvent]:  # fmt: skip
        """One `run` of the command, without its reports; a second one is as good as a `sync`."""
        journal = Journal(self.directory)
        self.publishing.append(Publishing(lambda: self.publisher(self.uri), lambda: answers(self.uri)))
        efforts = {run.run_id: Effort(1e6, 1.0, 2**20, 100, 100, 100) for run in runs}
        names = {run.run_id: f"{run.model} · seed {run.seed}" for run in runs}
        todo = [run for run in runs if run.run_id not in journal.outcomes()]
        events = []
        launcher = FastLocal("fork", entry=STUB, preload=("numpy",), grace=0.5)
        with exclusive(self.directory), launcher:
            site = Site(
                journal, launcher, self.publishing[-1], lambda run: self.directory, names, Forecast(efforts, ())
            )
            sweep = Sweep(runs, todo, site, Settings(workers), Interrupt())
            for each in (sweep.events(), sweep.finish(finish)):
                for event in each:
                    look(event)
                    events.append(event)
        journal.close()
        return events

    def publisher(self, uri: str) -> Publisher:
        return Publisher(uri, self.name, data={SPEC: FACTS}, artifacts=lambda rundir, run: {"a.png": b"a picture"})

    def waiting(self) -> int:
        """How many runs with an outcome the journal believes unpublished."""
        journal = Journal(self.directory)
        found = journal.publications()
        number = sum(not found[run_id].committed for run_id in journal.outcomes())
        journal.close()
        return number

    def undisturbed(self, scratch: Path, store: Path, runs: Sequence[Run]) -> Path:
        """What a publisher makes of the same run directories where nothing is in its way."""
        scratch.mkdir(parents=True)
        copy = Path(shutil.copy(store, scratch))
        journal, publisher = Journal(self.directory), self.publisher(sqlite_uri(copy))
        found = journal.publications()
        for run in runs:
            name = f"{run.model} · seed {run.seed}"
            publisher.publish(run, journal.rundir(run), found[run.run_id].uuid, None, name=name)
        journal.close()
        return copy


def contents(store: Path, experiment: str) -> dict[str, Any]:
    """UUID -> everything that a store holds of its run; a UUID with two active runs fails."""
    query = (
        "SELECT r.run_uuid, r.name, r.status, r.end_time, t.value FROM runs r JOIN experiments e USING (experiment_id) "
        "JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'benchmark.uuid' "
        "WHERE e.name = ? AND r.lifecycle_stage = 'active'"
    )
    tables = {
        "tags": "SELECT key, value FROM tags WHERE run_uuid = ? ORDER BY key",
        "params": "SELECT key, value FROM params WHERE run_uuid = ? ORDER BY key",
        "metrics": "SELECT key, step, timestamp, value FROM metrics WHERE run_uuid = ? ORDER BY key, step, timestamp",
        "latest": "SELECT key, step, timestamp, value FROM latest_metrics WHERE run_uuid = ? ORDER BY key",
        "inputs": "SELECT count(*) FROM inputs WHERE destination_id = ?",
    }
    with closing(sqlite3.connect(store)) as database:
        found: dict[str, Any] = {}
        for run_uuid, name, status, end, uuid in database.execute(query, (experiment,)).fetchall():
            assert uuid not in found, f"two runs with the UUID {uuid}"
            rows = {table: database.execute(each, (run_uuid,)).fetchall() for table, each in tables.items()}
            found[uuid] = {"name": name, "status": status, "end": end, **rows}
        return found


def troubles(events: Sequence[SweepEvent]) -> list[str]:
    return [event.message for event in events if isinstance(event, Trouble)]


def trained(events: Sequence[SweepEvent]) -> int:
    return sum(isinstance(event, Ended) and not event.retry for event in events)


def assert_all_there_once(
    experiment: Experiment, runs: Sequence[Run], server: Path, tmp_path: Path, store: Path
) -> None:
    assert experiment.waiting() == 0
    expected = contents(experiment.undisturbed(tmp_path / "undisturbed", store, runs), experiment.name)
    found = contents(server, experiment.name)
    assert len(expected) == len(runs)
    assert found == expected
