"""MLflow's store on a full disk, or held by another program: what cannot be published now is published later, once."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.mlflow_store import answers, sqlite_uri
from benchmark.publishing import Published, Trouble
from benchmark.sweep import SweepEvent
from tests.filling import fill
from tests.full_disk import small_disk
from tests.mlflow_support import mlflow_server
from tests.night import by_day
from tests.tracker_support import Experiment, assert_all_there_once, new_store, pictures, runs_of, trained, troubles

pytestmark = pytest.mark.slow
HOLDER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


class Holder:
    """Another program that holds a SQLite file, until it is let go."""

    def __init__(self, store: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"held\n"

    def let_go(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def place(store: Path, tmp_path: Path) -> Path:
    """A directory with a store of its own."""
    directory = tmp_path / "кот #1"
    directory.mkdir()
    shutil.copy(store, directory)
    return directory


@pytest.mark.nightly
def test_a_store_that_another_program_holds_all_the_time(place: Path, store: Path, tmp_path: Path) -> None:
    mine, runs = place / "mlflow.db", runs_of(4)
    experiment = Experiment(tmp_path / "results", sqlite_uri(mine), "held")
    holder, start = Holder(mine), time.monotonic()
    events = experiment.sweep(runs)
    took = time.monotonic() - start
    assert not answers(experiment.uri)
    holder.let_go()
    assert answers(experiment.uri)
    assert trained(events) == 4
    (message,) = troubles(events)
    assert "another program holds it: end that one, or wait" in message
    assert took < 40  # one try of MLflow's client, and a quick look
    assert experiment.waiting() == 4
    assert troubles(experiment.sweep(runs)) == []
    assert_all_there_once(experiment, runs, mine, tmp_path, store)


def test_a_store_that_another_program_holds_for_a_while(place: Path, store: Path, tmp_path: Path) -> None:
    mine, first, rest = place / "mlflow.db", runs_of(1), [*runs_of(4)[1:], *runs_of(1, "waits")]
    experiment = Experiment(tmp_path / "results", sqlite_uri(mine), "held")
    experiment.sweep(first)
    holder = Holder(mine)

    def look(event: SweepEvent) -> None:
        if isinstance(event, Trouble):
            holder.let_go()
        elif isinstance(event, Published) and event.commit:
            (experiment.directory / "release").touch()  # the last run goes on until the store was of use again

    events = experiment.sweep(rest, look=look)
    assert trained(events) == 4
    assert len(troubles(events)) == 1
    assert_all_there_once(experiment, [*first, *rest], mine, tmp_path, store)


if os.geteuid() == 0:  # who may mount a file system

    def sweep_on_a_full_disk(experiment: Experiment, disk: Path) -> list[SweepEvent]:
        """After the first run there is no room for the others."""
        runs = runs_of(5)
        experiment.sweep(runs[:1])
        fill(disk / "ballast")
        return experiment.sweep(runs[1:])

    @pytest.mark.parametrize("part", by_day("artifacts".__ne__, ["store and artifacts", "artifacts"]))
    def test_a_full_disk_under_the_store(part: str, store: Path, tmp_path: Path) -> None:
        home = tmp_path / "кот #1"
        with small_disk(home, 16) as disk:
            shutil.copy(store, disk)
            mine = disk / "mlflow.db"
            if part == "artifacts":
                mine = tmp_path / "mlflow.db"
                shutil.copy(store, mine)
                (tmp_path / "mlruns").symlink_to(disk)
            experiment, runs = Experiment(tmp_path / "results", sqlite_uri(mine), "full"), runs_of(5)
            events = sweep_on_a_full_disk(experiment, disk)
            assert trained(events) == 4
            (message,) = troubles(events)
            assert "free some space" in message
            assert experiment.waiting() == 4
            (disk / "ballast").unlink()
            assert troubles(experiment.sweep(runs)) == []
            assert_all_there_once(experiment, runs, mine, tmp_path, store)
            assert pictures(disk) == [b"a picture"] * 5

    @pytest.mark.parametrize("part", by_day("artifacts".__ne__, ["store and artifacts", "artifacts"]))
    def test_a_full_disk_under_the_server(
        part: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
        with small_disk(tmp_path / "кот #1", 16) as disk:
            home = disk
            if part == "artifacts":
                home = tmp_path / "home"
                home.mkdir()
                (home / "mlartifacts").symlink_to(disk)
            shutil.copy(store, home)
            with mlflow_server(home, tmp_path / "server.log") as address:
                experiment, runs = Experiment(tmp_path / "results", address, "full"), runs_of(5)
                events = sweep_on_a_full_disk(experiment, disk)
                assert trained(events) == 4
                (message,) = troubles(events)
                assert "refused" in message or "cannot be reached" in message
                assert experiment.waiting() == 4
                (disk / "ballast").unlink()
                assert troubles(experiment.sweep(runs)) == []
                assert_all_there_once(experiment, runs, home / "mlflow.db", tmp_path, store)
                assert pictures(disk) == [b"a picture"] * 5
