"""The command `sync`: what waited while the tracker was away is published, and nothing is trained."""

import fcntl
import json
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.test_cli import Command, benchmark, cache, home  # noqa: F401  (fixtures)

pytestmark = pytest.mark.slow


@pytest.fixture
def away() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://me:secret@127.0.0.1:{free.getsockname()[1]}"


def test_what_waited_on_disk_is_published_when_the_tracker_is_back(benchmark: Command, away: str) -> None:  # noqa: F811
    benchmark.environment["MLFLOW_TRACKING_URI"] = away
    said = benchmark("run")
    assert "2 of 2 runs done" in said
    assert "`python -m benchmark sync` publishes what waits on disk" in said
    said = benchmark("sync", code=3)
    assert "0 runs published, 2 wait" in said
    assert "secret" not in said
    del benchmark.environment["MLFLOW_TRACKING_URI"]
    said = benchmark("sync")
    assert "2 runs published, 0 wait" in said
    assert "compare the runs: `python -m benchmark ui`, or `mlflow ui`" in said
    assert kinds(benchmark.home) == ["run", "run", "sweep"]
    assert "0 runs published, 0 wait" in benchmark("sync")
    assert kinds(benchmark.home) == ["run", "run", "sweep"]


@pytest.mark.nightly
def test_a_leaderboard_that_mlflow_did_not_take_is_given_again_by_the_next_run(benchmark: Command, home: Path) -> None:  # noqa: F811
    benchmark("run", "--only", "seed=0")
    (artifacts,) = (path.parent for path in (home / "mlruns").rglob("leaderboard.json"))
    artifacts.rename(home / "kept")
    artifacts.write_text("in the way")
    assert "`python -m benchmark sync` publishes the leaderboard there" in benchmark("run")
    artifacts.unlink()
    (home / "kept").rename(artifacts)
    assert json.loads((artifacts / "leaderboard.json").read_text())["counts"]["done"] == 1
    assert "0 to run" in benchmark("run")
    assert json.loads((artifacts / "leaderboard.json").read_text())["counts"]["done"] == 2
    assert kinds(home) == ["run", "run", "sweep"]


def test_sync_says_what_is_in_its_way(benchmark: Command, home: Path) -> None:  # noqa: F811
    assert "nothing has run yet" in benchmark("sync", code=2)
    assert not (home / "results").exists()
    directory = home / "results" / "tiny"
    directory.mkdir(parents=True)
    (directory / "journal.db").touch()
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "in use" in benchmark("sync", code=3)


def kinds(home: Path) -> list[str]:  # noqa: F811
    """What the active runs are; each has its commit tag, or is the sweep's own."""
    query = (
        "SELECT k.value FROM runs r JOIN tags k ON k.run_uuid = r.run_uuid AND k.key = 'benchmark.kind' "
        "LEFT JOIN tags c ON c.run_uuid = r.run_uuid AND c.key = 'benchmark.commit' "
        "WHERE r.lifecycle_stage = 'active' AND r.status = 'FINISHED' AND (k.value = 'sweep' OR c.value IS NOT NULL) "
        "ORDER BY k.value"
    )
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        return [kind for (kind,) in database.execute(query)]
