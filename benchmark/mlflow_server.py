"""One MLflow server for each store on this machine: found, started, stopped.

    server = Server.of("sqlite:///mlflow.db", cache_directory())
    with server.serving(port=None) as address: ...      # it ends with this process
    server.detached(port=None), server.stop()

MLflow is not imported.  A server listens on 127.0.0.1 only, answers to no other name, runs no jobs and reports nothing
to anybody.  Its keeper (:mod:`benchmark.mlflow_keeper`) holds a lock, which tells every later command that it lives.
Known limit: a server that somebody started by ``mlflow ui`` is not ours, and is neither found nor stopped.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark import children
from benchmark.mlflow_keeper import HOST, PATIENCE_SECONDS, end
from benchmark.mlflow_making import ENVIRONMENT
from benchmark.mlflow_store import TrackingError, answers, redact, sqlite_path, sqlite_uri

STARTING_SECONDS = 120.0
STOPPING_SECONDS = 10.0
LOOK_SECONDS = 0.1
LOG_LINES, LOG_BYTES = 5, 4000
"""Of a log: its end, where the reason stands below the traceback."""
PORTS = range(1024, 65536)


class ServerError(TrackingError):
    """A server cannot be started, or did not come up; the message has the end of its log."""


@dataclass(frozen=True)
class Server:
    """The server of one store; ``base`` is the path of its files in the cache, without their endings."""

    uri: str
    base: Path

    @classmethod
    def of(cls, uri: str, cache: Path) -> Server:
        """That of the store at ``uri``; the same one however its path is written."""
        path = sqlite_path(uri)
        absolute = sqlite_uri(path.resolve()) if path else uri
        name = hashlib.sha256(f"{socket.gethostname()}\n{absolute}".encode()).hexdigest()[:16]
        return cls(absolute, cache / "mlflow-servers" / name)

    @property
    def log(self) -> Path:
        return self.base.with_suffix(".log")

    @property
    def record(self) -> Path:
        return self.base.with_suffix(".json")

    def find(self) -> str | None:
        """The address of the server that lives, once it answers; ``None`` where none does.

        Raises:
            ServerError: one lives, and does not answer.
        """
        deadline = time.monotonic() + STARTING_SECONDS
        while (lock := self._take()) is None:
            if time.monotonic() > deadline:
                raise ServerError(f"MLflow's server lives and does not answer: end it with --stop; its log: {self.log}")
            port = self._known("port")
            if port and answers(address(port), 1.0):
                return address(port)
            time.sleep(LOOK_SECONDS)
        os.close(lock)
        return None

    @contextmanager
    def serving(self, port: int | None) -> Iterator[tuple[str, subprocess.Popen[bytes] | None]]:
        """The address, and the keeper where this call started it: the server then ends with this block.

        Raises:
            ServerError: the port is taken, or the server does not come up.
        """
        place, keeper = self._ensure(port, attached=True)
        try:
            yield place, keeper
        finally:
            if keeper is not None:
                assert keeper.stdin is not None
                keeper.stdin.close()
                keeper.wait()

    def detached(self, port: int | None) -> str:
        """The address of a server that outlives this process.

        Raises:
            ServerError: as above.
        """
        return self._ensure(port, attached=False)[0]

    def stop(self) -> bool:
        """Ends the server; whether there was one."""
        if (lock := self._take()) is not None:
            os.close(lock)
            return False
        for how, seconds in ((signal.SIGTERM, PATIENCE_SECONDS), (signal.SIGKILL, STOPPING_SECONDS)):
            if group := self._known("server"):
                end(group, how)
            if self._gone(seconds):
                break
        else:
            raise ServerError(f"the server of {redact(self.uri)} does not end; its log: {self.log}")
        return True

    def tail(self) -> str:
        """The end of its log, without secrets."""
        try:
            lines = self.log.read_bytes()[-LOG_BYTES:].decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return redact("\n".join(lines[-LOG_LINES:]))

    def _ensure(self, port: int | None, *, attached: bool) -> tuple[str, subprocess.Popen[bytes] | None]:
        while (lock := self._take()) is None:
            if found := self.find():
                return found, None
        try:
            chosen = self._port(port)
            keeper = self._start(chosen, lock, attached=attached)
        finally:
            os.close(lock)
        self._await(keeper, chosen)
        return address(chosen), keeper

    def _port(self, wanted: int | None) -> int:
        """The one asked for, else that of the last time, so that links stay good, else any that is free."""
        if wanted is not None:
            if why := _why_not(wanted):
                raise ServerError(f"port {wanted} cannot be used ({why}): give another --port, or leave it out")
            return wanted
        last = self._known("port")
        if last in PORTS and not _why_not(last):
            return last
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            return int(probe.getsockname()[1])

    def _start(self, port: int, lock: int, *, attached: bool) -> subprocess.Popen[bytes]:
        self.record.unlink(missing_ok=True)
        arguments = [str(self.record), str(port), str(lock), *(["--attached"] if attached else [])]
        with self.log.open("wb") as log:
            return subprocess.Popen(
                children.command("benchmark.mlflow_keeper", *arguments),
                stdin=subprocess.PIPE if attached else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(self.uri, port),
                pass_fds=(lock,),
                start_new_session=True,
            )

    def _await(self, keeper: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + STARTING_SECONDS
        try:
            while time.monotonic() < deadline and keeper.poll() is None:
                if answers(address(port), 1.0) and keeper.poll() is None:
                    return
                time.sleep(LOOK_SECONDS)
            why = "did not come up" if keeper.poll() is not None else f"does not answer after {STARTING_SECONDS:.0f} s"
            raise ServerError(f"MLflow's server {why}; the end of {self.log}:\n{self.tail()}")
        except BaseException:
            keeper.terminate()
            keeper.wait()
            raise

    def _take(self) -> int | None:
        """The lock's descriptor, or ``None`` where a server's keeper holds it."""
        self.base.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.base.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle

    def _gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (lock := self._take()) is not None:
                os.close(lock)
                return True
            time.sleep(LOOK_SECONDS)
        return False

    def _known(self, key: str) -> int:
        """What the keeper wrote down; 0 where it did not, or not yet."""
        try:
            return int(json.loads(self.record.read_bytes())[key])
        except (OSError, ValueError, KeyError, TypeError):
            return 0


def address(port: int) -> str:
    """Of a server on this machine."""
    return f"http://{HOST}:{port}"


def _why_not(port: int) -> str:
    """Why nothing can listen at ``port``; empty where it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return os.strerror(error.errno or 0)
    return ""


def _environment(uri: str, port: int) -> dict[str, str]:
    """Of the server: the store, who may ask, and nothing else of MLflow's that this process was given."""
    kept = {name: value for name, value in children.environment().items() if not name.startswith("MLFLOW_")}
    names = ",".join((f"{HOST}:{port}", f"localhost:{port}"))
    return {
        **kept,
        **ENVIRONMENT,
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_SERVER_ALLOWED_HOSTS": names,
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{each}" for each in names.split(",")),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "DO_NOT_TRACK": "true",
    }
