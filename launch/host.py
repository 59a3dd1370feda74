"""Host processes of a run: started, adopted, and known by the lock that they inherit.

Each attempt is a process of its own session and group, with its own environment, working directory, log and cores:
forked from a warm server where that is safe, else a fresh Python.  It inherits a lock on its run directory, so that
whoever finds the lock held knows that the attempt lives, also after the death of the process that started it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, Self

from benchmark import plainfile
from benchmark.run import Run
from benchmark.rundir import RunDir
from launch import Job, cores
from launch.attempts import Forked, Orphan, Spawned, is_locked, locked
from launch.order import Order
from launch.warm import ServerDied, WarmServer
from launch.withheld import without_secrets

LOCK_SECONDS = 1.0
"""So long a new attempt waits for somebody who only looks whether the run is alive."""

MOST_SERVERS = 20
"""A server that keeps dying is not started for ever: workers are then fresh processes."""

ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""For glibc, which else gives each batch's memory back to the system and asks for it again, until it has found these
limits itself: tens of thousands of page faults later.  The last lets it ask for pages of 2 MiB (since glibc 2.35)."""
WORKER = Path(__file__).with_name("worker.py")
Start = Literal["auto", "fork", "spawn"]
Then = Callable[[], None]
"""What is done when a job has ended."""


class HostProcesses:
    """What the launchers of this machine share.

    Args:
        start: ``fork``, ``spawn``, or ``auto``: fork where it is safe.
        entry: the script that every attempt runs.
        preload: the modules that a fork server imports for it.
        grace: seconds between TERM and KILL.
        quiet: variables that keep the preloaded modules from starting threads.
    """

    def __init__(
        self, start: Start, *, entry: Path, preload: Sequence[str], grace: float, quiet: Mapping[str, str] | None = None
    ) -> None:
        self._fork = forks(start)
        self._entry, self._preload, self._grace = entry, preload, grace
        self._quiet = dict(quiet or {})
        self._cores = cores.Cores()
        self._server: WarmServer | None = None
        self._servers = 0
        self._notices: list[str] = []

    remote = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    @property
    def place(self) -> str:
        """This machine, with its own libraries."""
        return ""

    def prepare(self) -> None:
        """Starts the fork server, which becomes warm in the background."""
        if self._fork and self._server is None:
            self._servers += 1
            environment = {**ALLOCATOR, **without_secrets(os.environ), **threads(1), **self._quiet}
            self._server = WarmServer(environment, self._preload)

    def fits(self, run: Run) -> bool:
        """There is room for any run: cores and memory are counted elsewhere."""
        return True

    def wait(self, seconds: float) -> None:
        """Returns after ``seconds``, or as soon as the fork server has something to say."""
        if self._server is not None and self._server.alive:
            self._server.wait(seconds)
        else:
            time.sleep(seconds)

    def notices(self) -> Iterator[str]:
        """What happened since the last call."""
        while self._notices:
            yield self._notices.pop(0)

    def start(
        self,
        rundir: RunDir,
        attempt: Path,
        environment: Mapping[str, str],
        cores_wanted: int,
        then: Then = lambda: None,
    ) -> Job:
        """Starts the entry script in ``attempt``, kept on as many cores as it wants, if there are any free; does
        ``then`` when it has ended, or could not be started.

        Raises:
            BlockingIOError: another attempt at this run lives.
        """
        order = Order(self._entry, dict(environment), attempt, self._cores.take(cores_wanted))

        def release() -> None:
            self._cores.give(order.cores)
            then()

        try:
            return self._start(rundir, order, release)
        except BaseException:
            release()
            raise

    def living(self, rundir: RunDir, attempt: int, then: Then = lambda: None) -> Job | None:
        """The attempt whose lock is still held; ``then`` is done when it has ended."""
        if not rundir.lock_path.exists() or not is_locked(rundir):
            return None
        return self._orphan(rundir, rundir.attempt(attempt), then)

    def _start(self, rundir: RunDir, order: Order, release: Then) -> Job:
        server_died = False
        while True:
            try:
                with locked(rundir, patience=LOCK_SECONDS) as lock:
                    begin = partial(self._forked, rundir) if self._fork else self._spawned
                    return begin(order, lock, release)
            except ServerDied as error:
                self._replace_server(error)
                server_died = True
            except BlockingIOError:
                if not server_died:
                    raise
                # It was started after all: nobody else holds this lock.
                return self._orphan(rundir, order.attempt, release)

    def _forked(self, rundir: RunDir, order: Order, lock: int, release: Then) -> Job:
        self.prepare()
        assert self._server is not None
        number = self._server.fork(order, lock)
        orphan = Orphan(rundir, order.attempt, self._grace, lambda: None)
        return Forked(self._server, number, orphan, self._grace, release)

    def _spawned(self, order: Order, lock: int, release: Then) -> Job:
        command = [sys.executable, str(WORKER), str(order.attempt), ",".join(map(str, order.cores)), str(order.entry)]
        with os.fdopen(plainfile.opened(order.attempt / "log.txt", os.O_WRONLY | os.O_TRUNC), "wb") as log:
            process = subprocess.Popen(
                command,
                env=order.environment,
                cwd=order.attempt,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock],
            )
        return Spawned(process, self._grace, release)

    def _orphan(self, rundir: RunDir, attempt: Path, then: Then) -> Job:
        def release() -> None:
            self._cores.give(own)
            then()

        found = Orphan(rundir, attempt, self._grace, release)
        pid = found.pid()
        own = self._cores.withdraw(cores.bound(pid)) if pid else ()
        return found

    def _replace_server(self, error: OSError) -> None:
        if self._server is not None:
            self._server.close()
        self._server = None
        self._fork = self._servers < MOST_SERVERS and "not safe" not in str(error)
        then = "another is started" if self._fork else "workers are fresh processes from here on"
        self._notices.append(f"{error}; {then}")


def forks(start: Start) -> bool:
    """Whether workers are forked: where Linux's sockets and memory files are there."""
    able = sys.platform == "linux"
    if start == "fork" and not able:
        raise OSError("workers: {start: fork} needs Linux; use auto or spawn")
    return start != "spawn" and able


def threads(count: int) -> dict[str, str]:
    """``count`` threads for every numerical library, and the same hashes in every process."""
    share = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(count))
    return {**share, "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0"}
