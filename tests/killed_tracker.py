"""An MLflow server that is killed and started again, always at the same address and over the same store."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmark.mlflow_store import prepare, sqlite_uri

UP_SECONDS = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Tracker:
    """A server of the store ``home / "mlflow.db"``, which is a copy of an empty one that is made once in ``scratch``.

    To be killed while it makes its tables is MLflow's own affair, and no part of this.
    """

    def __init__(self, home: Path, scratch: Path) -> None:
        self.home, self.port = home, free_port()
        empty = scratch / "empty.db"
        if not empty.exists():
            prepare(sqlite_uri(empty))
        self.store = Path(shutil.copy(empty, home / "mlflow.db"))
        self._process: subprocess.Popen[bytes] | None = None
        self._back = 0.0

    def __enter__(self) -> Tracker:
        self.start()
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(0.0)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_up(self) -> bool:
        """Whether it answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.uri}/health", timeout=2):
                return True
        except OSError:
            return False

    def start(self) -> None:
        settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        variables = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | settings
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        with (self.home / "mlflow-server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--backend-store-uri", sqlite_uri(self.store)],
                cwd=self.home, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self, seconds_away: float) -> None:
        """Kills the server and its workers; :meth:`tend` starts it again after so many seconds."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process, self._back = None, time.monotonic() + seconds_away

    def tend(self) -> None:
        if self._process is None and time.monotonic() >= self._back:
            self.start()

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + UP_SECONDS
        while not self.is_up:
            self._back = 0.0
            self.tend()
            assert self._process is not None
            code = self._process.poll()
            assert code is None, f"the MLflow server ended with {code}: {self.said}"
            assert time.monotonic() < deadline, f"the MLflow server does not answer: {self.said}"
            time.sleep(0.2)

    @property
    def said(self) -> Any:
        return (self.home / "mlflow-server.log").read_text(errors="replace")[-3000:]
