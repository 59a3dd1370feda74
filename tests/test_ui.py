"""`ui`: MLflow's server is found or started, shown and ended, with real servers, stores and commands."""

import fcntl
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from benchmark import showing
from benchmark.mlflow_server import Server, ServerError, address
from benchmark.mlflow_store import prepare, sqlite_uri
from tests.mlflow_support import fetch, fetch_json
from tests.test_cli import Command

YAML = """
name: tiny
data: {source: synthetic, train_size: 100, test_size: 50, classes: 3}
defaults: {model: lenet5, epochs: 1}
matrix: {seed: [0, 1]}
launch: {profile: false, workers: 1}
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which an experiment has run."""
    path = tmp_path_factory.mktemp("кот #1") / "a b"
    path.mkdir()
    (path / "experiments.yaml").write_text(YAML)
    Command(path, path / "cache")("run")
    return path


@pytest.fixture
def command(place: Path) -> Iterator[Command]:
    made = Command(place, place / "cache")
    yield made
    made("ui", "--stop")


def server_of(command: Command) -> Server:
    return Server.of(sqlite_uri(command.home / "mlflow.db"), command.home / "cache")


def alive(text: str) -> bool:
    """Whether a process has ``text`` among its arguments."""
    found = (Path(each) / "cmdline" for each in Path("/proc").glob("[0-9]*"))
    return any(text.encode() in _read(each) for each in found)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def shown(command: Command, *options: str) -> str:
    return str(json.loads(command("ui", "--json", "--no-browser", *options))["page"])


@pytest.mark.nightly
def test_a_server_in_the_background_is_found_again_and_ends_when_it_is_told(command: Command) -> None:
    page = shown(command, "--detach")
    base, _, link = page.partition("/#/")
    experiment = fetch_json(f"{base}/api/2.0/mlflow/experiments/get-by-name?experiment_name=tiny")["experiment"]
    assert link.startswith(f"experiments/{experiment['experiment_id']}/runs?")
    assert shown(command, "--detach") == page
    assert command("ui", "--no-browser") == f"{page}\nthe server was running already\n"
    port = base.rpartition(":")[2]
    assert alive(f"--port\0{port}")
    assert command("ui", "--stop") == "MLflow's server is stopped\n"
    assert not alive(f"--port\0{port}")
    assert command("ui", "--stop") == "no server of ours shows this experiment\n"
    assert shown(command, "--detach") == page, "links stay good"


def test_the_server_listens_on_this_machine_alone_and_answers_to_no_other_name(command: Command) -> None:
    base = shown(command, "--detach").partition("/#/")[0]
    port = int(base.rpartition(":")[2])
    hexadecimal = f"{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert {row[1] for row in rows if row[1].endswith(f":{hexadecimal}") and row[3] == "0A"} == {f"0100007F:{port:04X}"}
    search, create = "experiments/search?max_results=1", "experiments/create"
    foreign = {"Host": "evil.example"}, {"Host": f"evil.example:{port}"}, {"Host": f"127.0.0.1.evil.example:{port}"}
    for headers in foreign:  # a name of somebody else's that points here (DNS rebinding)
        assert _refused(base, search, headers), headers
    for origin in ("https://evil.example", "null", f"http://127.0.0.1.evil.example:{port}"):  # a page in the browser
        written = {"Origin": origin, "Content-Type": "text/plain"}
        assert _refused(base, create, written, b'{"name": "theirs"}'), origin
    assert not _refused(base, search, {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"})
    names = json.loads(urlopen(f"{base}/api/2.0/mlflow/experiments/search?max_results=100", timeout=10).read())
    assert "theirs" not in {each["name"] for each in names["experiments"]}
    environment = next(_read(each / "environ") for each in Path("/proc").glob("[0-9]*") if _serves(each, port))
    for each in ("MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false", "MLFLOW_DISABLE_TELEMETRY=true"):
        assert each.encode() in environment.split(b"\0")


def _refused(base: str, what: str, headers: dict[str, str], body: bytes | None = None) -> bool:
    try:
        with urlopen(Request(f"{base}/api/2.0/mlflow/{what}", body, headers), timeout=10):
            return False
    except HTTPError as refused:
        refused.close()
        return refused.code == 403


def _serves(process: Path, port: int) -> bool:
    return f"--port\0{port}".encode() in _read(process / "cmdline")


@pytest.mark.nightly
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_server_in_the_foreground_ends_with_its_command_however_that_ends(
    command: Command, how: signal.Signals
) -> None:
    process, server = command.start("ui", "--no-browser"), server_of(command)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    port = json.loads(server.record.read_bytes())["port"]
    assert alive(f"--port\0{port}")
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 0, signal.SIGTERM: -15, signal.SIGKILL: -9}[how]
    until(lambda: not alive(f"--port\0{port}"), 20)
    until(lambda: server.find() is None, 20)


@pytest.mark.nightly
def test_several_commands_at_once_start_one_server(command: Command) -> None:
    started = [command.start("ui", "--detach", "--no-browser", "--json") for _ in range(3)]
    said = [each.communicate(timeout=200) for each in started]
    assert [each.returncode for each in started] == [0, 0, 0], said
    assert len({json.loads(out)["page"] for out, _ in said}) == 1


def test_a_port_that_is_taken_is_an_error_with_a_remedy(command: Command) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        said = command("ui", "--no-browser", "--port", port, code=3)
    assert said == f"port {port} cannot be used (Address already in use): give another --port, or leave it out\n"


def test_a_server_that_does_not_come_up_leaves_the_end_of_its_log(tmp_path: Path) -> None:
    broken = tmp_path / "кот #1" / "mlflow.db"
    broken.parent.mkdir()
    broken.write_bytes(b"no database at all, but a text that is long enough to be looked at" * 20)
    server = Server.of(sqlite_uri(broken), tmp_path / "cache")
    with pytest.raises(ServerError, match=r"(?s)did not come up; the end of .*\.log:\n.*file is not a database"):
        server.detached(None)
    assert server.find() is None
    assert not server.stop()


@pytest.mark.nightly
def test_before_the_first_run_it_says_what_comes_first(tmp_path: Path) -> None:
    (tmp_path / "experiments.yaml").write_text(YAML)
    command = Command(tmp_path, tmp_path / "cache")
    assert "nothing has run yet" in command("ui", code=2)
    assert not (tmp_path / "mlflow.db").exists()
    prepare(sqlite_uri(tmp_path / "mlflow.db"))
    said = command("ui", code=2)
    assert "has no experiment 'tiny' yet: `python -m benchmark run`" in said


@pytest.mark.nightly
def test_a_locked_store_is_an_error_that_names_it(tmp_path: Path, place: Path) -> None:
    shutil.copytree(place, tmp_path / "a b", ignore=shutil.ignore_patterns("cache", "*-wal", "*-shm"))
    command = Command(tmp_path / "a b", place / "cache")
    with closing(sqlite3.connect(command.home / "mlflow.db")) as holder:
        holder.execute("PRAGMA journal_mode=DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        said = command("ui", code=3)
    assert "mlflow.db" in said
    assert "database is locked; another program holds it: end that one, or wait" in said


@pytest.mark.nightly
def test_a_view_that_is_missing_or_old_is_completed(command: Command) -> None:
    key = "mlflow.sharedViewState.benchmark"
    with closing(sqlite3.connect(command.home / "mlflow.db")) as store:
        store.execute("UPDATE experiment_tags SET value = '{}' WHERE key = ?", (key,))
        store.commit()
    base = shown(command, "--detach").partition("/#/")[0]
    experiment = fetch_json(f"{base}/api/2.0/mlflow/experiments/get-by-name?experiment_name=tiny")["experiment"]
    (view,) = (json.loads(each["value"]) for each in experiment["tags"] if each["key"] == key)
    assert [each["name"] for each in view["compareRunSections"]][-1] == "Learning curves"


@pytest.mark.nightly
def test_of_a_tracking_server_the_link_is_shown_and_nothing_started(command: Command, tmp_path: Path) -> None:
    base = shown(command, "--detach").partition("/#/")[0]
    elsewhere = Command(command.home, tmp_path / "cache")
    elsewhere.environment["MLFLOW_TRACKING_URI"] = base
    said = elsewhere("ui", "--no-browser")
    assert said.startswith(f"{base}/#/experiments/")
    assert not (tmp_path / "cache" / "mlflow-servers").exists()
    assert "not ours to stop" in elsewhere("ui", "--stop", code=2)
    assert fetch(f"{base}/health") == b"OK"


@pytest.mark.nightly
def test_a_server_that_dies_is_told_with_the_end_of_its_log(command: Command) -> None:
    process, server = command.start("ui", "--no-browser"), server_of(command)
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(json.loads(server.record.read_bytes())["server"], signal.SIGKILL)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "MLflow's server has ended (exit code 137)" in out


def test_a_server_that_lives_and_does_not_answer_is_no_reason_to_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.mlflow_server.STARTING_SECONDS", 0.5)
    server = Server.of(sqlite_uri(tmp_path / "mlflow.db"), tmp_path)
    server.base.parent.mkdir()
    with server.base.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ServerError, match="lives and does not answer: end it with --stop"):
            server.detached(None)


def test_a_store_has_one_server_however_its_path_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    one, two = (Server.of(sqlite_uri(each / "mlflow.db"), tmp_path) for each in (tmp_path, tmp_path / "link"))
    assert one == two
    assert Server.of("postgresql://me:secret@host/db", tmp_path).base != one.base
    assert "secret" not in Server.of("postgresql://me:secret@host/db", tmp_path).base.name


def test_the_address_of_a_store_is_not_among_the_arguments_of_a_process(tmp_path: Path) -> None:
    server = Server.of("postgresql://me:hunter2@127.0.0.1:1/nothing", tmp_path / "cache")
    with pytest.raises(ServerError) as failed:
        server.detached(None)
    assert "hunter2" not in str(failed.value)
    assert not alive("hunter2")


def test_without_a_screen_no_browser_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{opened}"\n')
    browser.chmod(0o755)
    code = f"from benchmark.showing import open_page; print(open_page({address(5)!r}))"
    environment = {**os.environ, "BROWSER": str(browser), "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    for display, found in (("", "False"), (":9", "True")):
        said = subprocess.run(
            [sys.executable, "-c", code], env={**environment, "DISPLAY": display}, capture_output=True, text=True
        )
        assert said.stdout == f"{found}\n", said.stderr
        assert opened.exists() == (found == "True")


def test_an_mlflow_of_sagemakers_has_a_command_in_place_of_a_page() -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:mlflow-tracking-server/team"
    found = showing.Shown(arn, "#/experiments/1", None)
    assert found.page is None
    assert "create-presigned-mlflow-tracking-server-url" in found.words
