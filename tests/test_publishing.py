"""The publishing thread: what it puts together, what it says of a tracker that is away, and how it ends."""

import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from benchmark import sweep
from benchmark.mlflow_store import TrackingError, answers, prepare, sqlite_uri
from benchmark.publishing import COALESCE_SECONDS, Published, Publishing, Request, Trouble, patience, within
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.tracking import Projection, Publisher
from tests.mlflow_support import FACTS, START, a_run, confusion_png, epoch, finish, new_rundir


class Counting(Publisher):
    """A publisher that remembers how often and when each run was published."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri, "publishing", data=FACTS, artifacts=confusion_png)
        self.calls: list[str] = []

    def publish(
        self,
        run: Run,
        rundir: RunDir,
        uuid: str,
        mlflow_run_id: str | None,
        *,
        name: str = "",
        started: float = 0.0,
        costs: Mapping[str, float | None] = {},
    ) -> Projection:
        self.calls.append(run.run_id)
        return super().publish(run, rundir, uuid, mlflow_run_id, name=name, started=started, costs=costs)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    prepare(sqlite_uri(path))
    return path


@pytest.fixture
def live(store: Path, tmp_path: Path) -> Counting:
    shutil.copy(store, tmp_path / "mlflow.db")
    return Counting(sqlite_uri(tmp_path / "mlflow.db"))


def request_of(root: Path, seed: int = 0) -> Request:
    run = a_run(seed=seed)
    return Request(run, new_rundir(root, run), f"{seed:032x}", None, f"run {seed}", START)


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_run_of_a_second_is_published_once_and_whole(live: Counting, tmp_path: Path) -> None:
    publishing, request = Publishing(lambda: live), request_of(tmp_path)
    publishing.notify(request)
    for number in (1, 2, 3):
        request.rundir.append_event(epoch(number))
        publishing.notify(request)
    finish(request.rundir)
    publishing.notify(request)
    until(lambda: publishing.idle)
    assert live.calls == [request.run.run_id]
    assert [reply.commit is not None for reply in publishing.replies() if isinstance(reply, Published)] == [True]
    assert publishing.close(10)


def test_a_run_under_way_is_seen_after_some_seconds_and_its_news_do_not_put_that_off(
    live: Counting, tmp_path: Path
) -> None:
    publishing, request = Publishing(lambda: live), request_of(tmp_path)
    start = time.monotonic()
    while not live.calls:  # with news all the time
        publishing.notify(request)
        time.sleep(0.1)
    assert time.monotonic() - start > 0.9 * COALESCE_SECONDS
    assert publishing.close(10)


def test_closing_publishes_at_once_what_waits(live: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.publishing.COALESCE_SECONDS", 600.0)
    publishing, requests = Publishing(lambda: live), [request_of(tmp_path, seed) for seed in range(3)]
    for request in requests:
        publishing.notify(request)
    assert publishing.close(60)
    assert set(live.calls) == {request.run.run_id for request in requests}


def test_a_run_with_news_since_it_was_published_is_not_called_whole(live: Counting, tmp_path: Path) -> None:
    publishing, request = Publishing(lambda: live), request_of(tmp_path)
    finish(request.rundir)
    publishing.notify(request)
    until(lambda: publishing.idle)
    request.rundir.write_profile({"speed/images_per_second": 420.0})
    publishing.notify(request)
    assert publishing.close(10)
    first, second = publishing.replies()
    assert isinstance(first, Published)
    assert isinstance(second, Published)
    assert first.commit is None
    assert second.commit is not None


def test_an_outage_is_told_once_and_what_waits_is_published_after_it(live: Counting, tmp_path: Path) -> None:
    away, asked = threading.Event(), []
    away.set()

    def make() -> Publisher:
        asked.append(time.monotonic())
        if away.is_set():
            raise TrackingError(f"away, try {len(asked)}")
        return live

    publishing = Publishing(make, lambda: not away.is_set())
    requests = [request_of(tmp_path, seed) for seed in range(3)]
    for request in requests:
        finish(request.rundir)
        publishing.notify(request)
    time.sleep(1.5)
    assert list(publishing.replies()) == [Trouble("away, try 1")]
    assert len(asked) == 1  # what does not answer is not tried
    assert publishing.idle  # nobody needs to wait for a tracker that is away
    away.clear()
    assert publishing.close(20)
    committed = [reply.run.run_id for reply in publishing.replies() if isinstance(reply, Published) and reply.commit]
    assert set(committed) == {request.run.run_id for request in requests}


def test_closing_gives_up_at_once_on_a_tracker_that_is_known_to_be_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.publishing.BACKOFF_SECONDS", (600.0,))

    def make() -> Publisher:
        raise TrackingError("away")

    publishing = Publishing(make, lambda: False)
    for seed in range(5):
        publishing.notify(request_of(tmp_path, seed))
    until(lambda: list(publishing.replies()))
    assert publishing.close(60)


def test_closing_tries_again_once_when_the_first_failure_comes_then(live: Counting, tmp_path: Path) -> None:
    tries: list[float] = []

    def make() -> Publisher:
        tries.append(time.monotonic())
        if len(tries) == 1:
            raise TrackingError("a hiccup")
        return live

    publishing = Publishing(make)
    publishing.notify(request_of(tmp_path))
    assert publishing.close(10)
    assert len(live.calls) == 1


def test_closing_with_nothing_to_publish_does_not_ask_for_mlflow() -> None:
    def make() -> Publisher:
        raise AssertionError

    assert Publishing(make).close(5)


@contextmanager
def serving(status: int) -> Iterator[str]:
    """A server that answers everything with ``status``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://me:secret@127.0.0.1:{server.server_port}/mlflow/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "found"), [(200, True), (401, True), (404, True), (500, False), (503, False)])
def test_a_server_answers_unless_it_is_broken(status: int, found: bool) -> None:
    with serving(status) as uri:
        assert answers(uri) is found


def test_a_port_that_is_closed_or_silent_does_not_answer() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert not answers(uri, 0.5)
        silent.listen()
        assert not answers(uri, 0.5)


def test_a_store_that_is_a_file_needs_no_answer() -> None:
    assert answers("sqlite:////nowhere/mlflow.db")


def test_a_file_answers_unless_another_program_holds_it(store: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copy(store, tmp_path))
    assert answers(sqlite_uri(mine))
    with closing(sqlite3.connect(mine, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        assert not answers(sqlite_uri(mine), 0.1)
        with pytest.raises(TrackingError, match="another program holds it: end that one, or wait"):
            Counting(sqlite_uri(mine))
    assert answers(sqlite_uri(mine))


@pytest.mark.parametrize("runs", [4, 5, 10, 1000])
def test_a_slow_server_costs_a_sweep_at_most_five_seconds_a_run_at_its_end(runs: int) -> None:
    before_measuring = min(sweep.MOST_SECONDS, max(sweep.LEAST_SECONDS, sweep.RUN_SECONDS * runs))
    assert before_measuring + patience("http://127.0.0.1:5000", runs) <= 5 * runs
    assert patience("http://127.0.0.1:5000", runs) <= 60


def test_what_takes_too_long_is_not_waited_for_and_errors_come_through() -> None:
    never = threading.Event()
    with pytest.raises(TrackingError, match="too slow"):
        within(0.05, never.wait)
    never.set()
    assert within(10, lambda: "done") == "done"
    with pytest.raises(ZeroDivisionError):
        within(10, lambda: 1 // 0)
