"""The handles of host processes: forked, spawned, or left behind by an orchestrator that died.

``cancel`` asks with TERM; whoever goes on polling sees to the KILL when the grace is over.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmark import plainfile
from benchmark.machine import out_of_memory_kills
from benchmark.records import NO_SPACE, Failure
from benchmark.rundir import RunDir
from launch import JobState, processes
from launch.warm import ServerDied, WarmServer

KILLS_SECONDS = 0.5
DISK_FULL = os.EX_IOERR
"""The exit code of a job that could not even write down why it failed."""


@dataclass
class Stop:
    """A request to stop: TERM now, KILL after the grace."""

    grace: float
    since: float | None = None

    def ask(self, pid: int) -> None:
        self.since = self.since or time.monotonic()
        processes.signal_group(pid, signal.SIGTERM)

    def insist(self, pid: int) -> None:
        """Kills when the grace is over."""
        if self.since is not None and time.monotonic() - self.since > self.grace:
            processes.signal_group(pid, signal.SIGKILL)


@dataclass
class Ending:
    """What is done and said once, when a process has ended."""

    release: Callable[[], None]
    state: JobState | None = None
    _latest: int = field(default_factory=out_of_memory_kills)
    _kills: int = field(init=False)
    """As of the look before the latest: what the kernel has killed takes a moment to be gone."""
    _looked: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._kills = self._latest

    def look(self) -> None:
        """While the process runs: the kernel counts its kills for the whole machine, and only a late one was ours."""
        if time.monotonic() - self._looked > KILLS_SECONDS:
            self._looked, self._kills, self._latest = time.monotonic(), self._latest, out_of_memory_kills()

    def end(self, code: int | None) -> JobState:
        """``code`` is the exit code, where it is known."""
        if self.state is None:
            self.release()
            self.state = JobState("ended", self._explain(code))
        return self.state

    def _explain(self, code: int | None) -> Failure:
        now = time.time()
        if code == -signal.SIGKILL and out_of_memory_kills() > self._kills:
            return Failure("oom", "the kernel killed the process: the machine ran out of memory", time=now)
        if code is None:
            return Failure("killed", "the job ended without a result", time=now)
        if code < 0:
            return Failure("killed", f"the process was killed by {signal.Signals(-code).name}", time=now)
        if code == DISK_FULL:
            return Failure("infrastructure", f"the job could not write its files: {NO_SPACE}", time=now)
        return Failure("error", f"the process ended with exit code {code} and without a result", time=now)


class Spawned:
    """A child of this process."""

    def __init__(self, process: subprocess.Popen[bytes], grace: float, release: Callable[[], None]) -> None:
        self._process, self._stop, self._ending = process, Stop(grace), Ending(release)

    def poll(self) -> JobState:
        if self._process.returncode is None:
            self._process.returncode = processes.reap_group(self._process.pid)
        if self._process.returncode is not None:
            return self._ending.end(self._process.returncode)
        self._stop.insist(self._process.pid)
        self._ending.look()
        return JobState("running")

    def cancel(self) -> None:
        if self._process.returncode is None:
            self._stop.ask(self._process.pid)

    def cpu_seconds(self) -> float | None:
        return processes.cpu_seconds(self._process.pid)


class Orphan:
    """An attempt that outlived the process that started it: its lock says whether it lives."""

    def __init__(self, rundir: RunDir, attempt: Path, grace: float, release: Callable[[], None]) -> None:
        self._rundir, self._attempt = rundir, attempt
        self._stop, self._ending = Stop(grace), Ending(release)

    def pid(self) -> int | None:
        """Its process, which writes this number itself; ``None`` for a moment after its start."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int((self._attempt / "pid").read_text())
        return None

    def poll(self) -> JobState:
        if not is_locked(self._rundir):
            return self._ending.end(None)
        pid = self.pid()
        if pid is not None and processes.is_dead(pid):
            # What it left behind in its group keeps the lock, and the group's number from being used again.
            processes.signal_group(pid, signal.SIGKILL)
        elif pid is not None and self._stop.since is not None:
            self._stop.insist(pid)
        return JobState("running")

    def cancel(self) -> None:
        pid = self.pid()
        if pid is not None and is_locked(self._rundir):
            self._stop.ask(pid)

    def cpu_seconds(self) -> float | None:
        pid = self.pid()
        return None if pid is None else processes.cpu_seconds(pid)


class Forked:
    """A worker of the fork server; an orphan once that has died."""

    def __init__(
        self, server: WarmServer, number: int, orphan: Orphan, grace: float, release: Callable[[], None]
    ) -> None:
        self._server, self._number, self._orphan = server, number, orphan
        self._pid = server.process(number)
        self._stop, self._ending = Stop(grace), Ending(release)

    def poll(self) -> JobState:
        try:
            code = self._server.code(self._number)
        except ServerDied:
            state = self._orphan.poll()
            return self._ending.end(None) if state.status == "ended" else self._running()
        return self._running() if code is None else self._ending.end(code)

    def cancel(self) -> None:
        if self.poll().status == "running":
            self._stop.ask(self._pid)

    def cpu_seconds(self) -> float | None:
        return processes.cpu_seconds(self._pid)

    def _running(self) -> JobState:
        self._stop.insist(self._pid)
        self._ending.look()
        return JobState("running")


def is_locked(rundir: RunDir) -> bool:
    """Whether an attempt at the run lives, whoever started it."""
    try:
        with locked(rundir):
            return False
    except BlockingIOError:
        return True


@contextlib.contextmanager
def locked(rundir: RunDir, patience: float = 0.0) -> Iterator[int]:
    """Holds a run's lock; the handle, which a job may inherit.

    Raises:
        BlockingIOError: an attempt at the run lives, for longer than ``patience`` seconds.
    """
    handle = plainfile.opened(rundir.lock_path, os.O_RDWR)
    try:
        _lock(handle, time.monotonic() + patience, rundir)
        yield handle
    finally:
        os.close(handle)


def _lock(handle: int, deadline: float, rundir: RunDir) -> None:
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise BlockingIOError(f"another attempt at this run is alive: {rundir.lock_path} is held") from None
            time.sleep(0.02)
