"""A tracker that is away, broken, slow or forgetful: training goes on, and in the end MLflow has everything, once.

A real MLflow server behind a real proxy, real sweeps over stub jobs; what the server's database holds in the end is
compared with what an undisturbed publisher makes of the same run directories.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient  # noqa: TID251

from benchmark.journal import Journal
from benchmark.mlflow_store import sqlite_uri
from benchmark.publishing import Published, Trouble
from benchmark.sweep import Ended, Started, SweepEvent
from tests.mlflow_support import mlflow_process, mlflow_server
from tests.night import by_day
from tests.proxy import Proxy, proxied
from tests.tracker_support import Experiment, assert_all_there_once, new_store, runs_of, trained, troubles

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client tries as often as ever, but waits less in between."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")


@dataclass
class Server:
    """A server of the store in ``directory``."""

    directory: Path
    address: str

    @property
    def store(self) -> Path:
        return self.directory / "mlflow.db"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("кот #1")
    shutil.copy(store, directory)
    with mlflow_server(directory, directory / "server.log") as address:
        yield Server(directory, address)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with proxied(server.address) as proxy:
        yield proxy


@pytest.fixture
def experiment(proxy: Proxy, tmp_path: Path, request: pytest.FixtureRequest) -> Experiment:
    return Experiment(tmp_path / "кот #1" / "results", proxy.address, request.node.name)


def test_away_for_the_whole_sweep(
    experiment: Experiment, proxy: Proxy, server: Server, tmp_path: Path, store: Path
) -> None:
    runs = runs_of(6)
    proxy.mode = "error"
    start = time.monotonic()
    events = experiment.sweep(runs)
    assert time.monotonic() - start < 40  # of which MLflow's client takes most for its first try
    assert trained(events) == 6
    assert len(troubles(events)) == 1
    assert experiment.waiting() == 6
    proxy.mode = "pass"
    assert troubles(experiment.sweep(runs)) == []
    assert_all_there_once(experiment, runs, server.store, tmp_path, store)


@pytest.mark.nightly
def test_nobody_listens(experiment: Experiment, proxy: Proxy, server: Server, tmp_path: Path, store: Path) -> None:
    runs, address = runs_of(4), experiment.uri
    experiment.uri = "http://me:secret@127.0.0.1:9"
    start = time.monotonic()
    events = experiment.sweep(runs)
    assert time.monotonic() - start < 30
    assert trained(events) == 4
    (message,) = troubles(events)
    assert "cannot be reached" in message
    assert "secret" not in message
    experiment.uri = address
    experiment.sweep(runs)
    assert_all_there_once(experiment, runs, server.store, tmp_path, store)


@pytest.mark.nightly
def test_errors_for_a_while(experiment: Experiment, proxy: Proxy, server: Server, tmp_path: Path, store: Path) -> None:
    runs = runs_of(8)

    def look(event: SweepEvent) -> None:
        ended = isinstance(event, Published) and event.commit
        if ended and proxy.mode == "pass" and not proxy.count("broken"):
            proxy.mode = "error"
            proxy.requests.append("broken")
        elif isinstance(event, Trouble):
            proxy.mode = "pass"

    events = experiment.sweep(runs, look=look)
    proxy.mode = "pass"
    assert trained(events) == 8
    experiment.sweep(runs)
    assert_all_there_once(experiment, runs, server.store, tmp_path, store)


def test_slow(experiment: Experiment, proxy: Proxy, server: Server, tmp_path: Path, store: Path) -> None:
    runs = runs_of(6)
    proxy.delay = 5.0
    start, ended = time.monotonic(), []

    def look(event: SweepEvent) -> None:
        if isinstance(event, Ended):
            ended.append(time.monotonic())

    events = experiment.sweep(runs, look=look, finish=1)
    assert len(ended) == 6
    assert ended[-1] - start < 20  # training does not wait for the tracker
    assert troubles(events) == []
    proxy.delay = 0.0
    assert experiment.publishing[0].close(120)
    experiment.sweep(runs)
    assert_all_there_once(experiment, runs, server.store, tmp_path, store)


@pytest.mark.nightly
def test_a_single_run_is_published_however_slow_the_server_is(
    experiment: Experiment, proxy: Proxy, server: Server, tmp_path: Path, store: Path
) -> None:
    runs = runs_of(1)
    proxy.delay = 0.5
    assert troubles(experiment.sweep(runs)) == []
    assert_all_there_once(experiment, runs, server.store, tmp_path, store)


@pytest.mark.nightly
def test_connections_that_hang(
    experiment: Experiment, proxy: Proxy, server: Server, tmp_path: Path, store: Path
) -> None:
    runs = runs_of(6)
    proxy.mode = "hang"
    start = time.monotonic()
    assert trained(experiment.sweep(runs, finish=2)) == 6
    assert time.monotonic() - start < 25
    proxy.mode = "error"  # in the program the thread ends with the process
    assert experiment.publishing[0].close(120)
    proxy.mode = "pass"
    experiment.sweep(runs)
    assert_all_there_once(experiment, runs, server.store, tmp_path, store)


def test_replies_that_get_lost(
    experiment: Experiment, proxy: Proxy, server: Server, tmp_path: Path, store: Path
) -> None:
    runs = runs_of(4)
    proxy.mode, proxy.surely_lost = "lose", "runs/create"
    for _ in range(12):
        experiment.sweep(runs)
        if not experiment.waiting():
            break
    assert deleted(server.store, experiment.name) > 0  # made by requests whose replies were lost
    proxy.mode = "pass"
    experiment.sweep(runs)
    assert_all_there_once(experiment, runs, server.store, tmp_path, store)


def deleted(store: Path, experiment: str) -> int:
    query = "SELECT count(*) FROM runs JOIN experiments e USING (experiment_id) WHERE e.name = ? AND status = 'RUNNING'"
    with closing(sqlite3.connect(store)) as database:
        return int(database.execute(query, (experiment,)).fetchone()[0])


@pytest.mark.parametrize(
    "place", by_day("runs/log-batch".__eq__, ["runs/create", "runs/log-batch", "mlflow-artifacts"])
)
def test_a_server_killed_in_the_middle_of_a_request(place: str, tmp_path: Path, store: Path) -> None:
    home, runs = tmp_path / "кот #1", runs_of(5)
    home.mkdir()
    shutil.copy(store, home)
    killed: list[str] = []
    with mlflow_process(home, home / "server.log") as (server, address), proxied(address) as proxy:
        experiment = Experiment(home / "results", proxy.address, "killed")

        def forwarded(path: str) -> None:
            if place in path and not killed:
                killed.append(path)
                os.killpg(server.pid, signal.SIGKILL)

        proxy.forwarded = forwarded
        events = experiment.sweep(runs)
        assert killed
        assert trained(events) == 5
        with mlflow_server(home, home / "second.log") as again:
            proxy.upstream = again
            experiment.sweep(runs)
            assert_all_there_once(experiment, runs, home / "mlflow.db", tmp_path, store)


def test_a_request_that_arrives_late_is_deleted_before_the_commit(
    experiment: Experiment, server: Server, tmp_path: Path, store: Path
) -> None:
    (run,) = runs_of(1, "waits")
    mlflow = MlflowClient(server.address)

    def look(event: SweepEvent) -> None:
        if isinstance(event, Published) and event.commit is None:
            journal = Journal(experiment.directory)
            uuid = journal.publications()[run.run_id].uuid
            journal.close()
            found = mlflow.get_experiment_by_name(experiment.name)
            mlflow.create_run(found.experiment_id, tags={"benchmark.uuid": uuid})
            (experiment.directory / "release").touch()

    experiment.sweep([run], look=look)
    assert_all_there_once(experiment, [run], server.store, tmp_path, store)


def test_sixteen_workers_on_a_new_store(tmp_path: Path, store: Path) -> None:
    new = tmp_path / "кот #1" / "mlflow.db"
    experiment, runs = Experiment(tmp_path / "results", sqlite_uri(new), "sixteen"), runs_of(16)
    events = experiment.sweep(runs, workers=16)
    assert sum(isinstance(event, Started) for event in events) == 16
    assert troubles(events) == []
    assert_all_there_once(experiment, runs, new, tmp_path, store)


ORCHESTRATOR = """
import json, sys
from pathlib import Path
from tests.tracker_support import Experiment, runs_of, troubles
place, uri, name = sys.argv[1:]
print(json.dumps(troubles(Experiment(Path(place), uri, name).sweep(runs_of(5)))))
"""


@pytest.mark.nightly
def test_four_experiments_at_once_on_a_new_store(tmp_path: Path, store: Path) -> None:
    new = tmp_path / "кот #1" / "mlflow.db"
    experiments = [Experiment(tmp_path / f"results-{n}", sqlite_uri(new), f"experiment {n}") for n in range(4)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ORCHESTRATOR, str(each.directory), each.uri, each.name],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )
        for each in experiments
    ]  # fmt: skip
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert [json.loads(each) for each in said] == [[]] * 4
    for number, each in enumerate(experiments):
        assert_all_there_once(each, runs_of(5), new, tmp_path / str(number), store)
