"""Starts a rehearsal and talks to it; needs the standard library only, and moto in the server's process."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import threading
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from benchmark.children import command, environment
from launch.rehearsal.faults import Faults
from launch.rehearsal.keys import HEADER

START_SECONDS = 120.0
END_SECONDS = 30.0
TAIL_LINES = 15
INSTALL = "a rehearsal of SageMaker needs moto: pip install 'torch-image-benchmark[rehearse]'"


class NoRehearsal(Exception):
    """The server cannot be started, or did not come up; the message has its last words."""


class Rehearsal:
    """A server of its own, from the beginning of a ``with`` block to its end; all its jobs end with it.

    Args:
        directory: for the jobs' files and the server's log, ``server.log``.
        executor: ``namespace``, ``docker`` or ``simulated``.
        arguments: more options of ``python -m launch.rehearsal``.
    """

    def __init__(
        self,
        directory: Path,
        faults: Faults | None = None,
        executor: str = "namespace",
        *,
        startup_seconds: float = 0.0,
        grace: float = 5.0,
        mirror_seconds: float = 0.5,
        arguments: Sequence[str] = (),
    ) -> None:
        self._directory, self._faults = directory, faults or Faults()
        options = {"executor": executor, "startup-seconds": startup_seconds, "grace": grace}
        options["mirror-seconds"] = mirror_seconds
        self._options = [*(f"--{name}={value}" for name, value in options.items()), *arguments]
        self._process: subprocess.Popen[str] | None = None
        self.url = self.bucket = self.role = self._key = ""

    def __enter__(self) -> Self:
        """Raises:
        NoRehearsal: moto is missing, or the server did not come up.
        """
        if importlib.util.find_spec("moto") is None:
            raise NoRehearsal(INSTALL)
        self._directory.mkdir(parents=True, exist_ok=True)
        faults = self._directory / "faults.json"
        faults.write_text(self._faults.to_json(), encoding="utf-8")
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command(
                    "launch.rehearsal",
                    f"--directory={self._directory}",
                    f"--faults={faults}",
                    "--with-parent",
                    *self._options,
                ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(),
                start_new_session=True,
            )
        self._listen(self._process)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    def environment(self) -> dict[str, str]:
        """What makes any AWS client talk to the rehearsal, and never to a real account.

        It is meant to be put over an environment; ``AWS_PROFILE`` must not be left in it.
        """
        direct = ",".join(filter(None, [os.environ.get("NO_PROXY"), os.environ.get("no_proxy"), "127.0.0.1"]))
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self._key,
            "AWS_SECRET_ACCESS_KEY": "rehearsal",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SESSION_TOKEN": "",
            "NO_PROXY": direct,
            "no_proxy": direct,
        }

    def jobs(self) -> list[dict[str, Any]]:
        """Each job's name, arn, status, secondary, failure, attempts, pids of its hosts, directory, when it was created
        and last modified, and its warm pool."""
        return list(self._ask("GET", "state")["jobs"])

    def calls(self) -> list[dict[str, Any]]:
        """Every call so far, as :class:`launch.rehearsal.calls.Call` has it."""
        return list(self._ask("GET", "calls")["calls"])

    def counts(self) -> list[dict[str, Any]]:
        """How many calls of each kind there were, as :meth:`launch.rehearsal.calls.Calls.counts` has it."""
        return list(self._ask("GET", "counts")["counts"])

    def set_faults(self, faults: Faults) -> None:
        """From now on these; they count anew."""
        self._ask("PUT", "faults", faults.to_json().encode())

    def _ask(self, method: str, what: str, body: bytes | None = None) -> dict[str, Any]:
        place, mine = f"{self.url}/rehearsal/{what}", {HEADER: self._key}
        request = urllib.request.Request(place, data=body, method=method, headers=mine)  # noqa: S310 - our own server
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def _listen(self, process: subprocess.Popen[str]) -> None:
        """Waits for the line that says where."""
        assert process.stdout is not None
        timer = threading.Timer(START_SECONDS, process.kill)
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        if not line:
            process.wait()
            self.__exit__()
            raise NoRehearsal(f"the rehearsal did not come up (exit code {process.returncode}):\n{self._tail()}")
        found = json.loads(line)
        self.url, self.bucket, self.role = found["url"], found["bucket"], found["role"]
        self._key = found["access_key"]

    def _tail(self) -> str:
        path = self._directory / "server.log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([*lines[-TAIL_LINES:], f"(all of it: {path})"])
