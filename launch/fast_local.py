"""Runs as host processes under SageMaker's contract, without Docker.

Each attempt is a fresh Python in its own session and process group, with its own environment, log and thread count.  It
inherits a lock on its run directory, so that whoever finds the lock held knows that the attempt lives, also after the
death of the process that started it.  (A warm fork server takes the place of ``_start`` where fork is safe.)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.run import Run
from benchmark.rundir import Failure, RunDir
from launch import Job, JobState

LOCK_SECONDS = 1.0
"""So long a new attempt waits for somebody who only looks whether the run is alive."""

ENTRY = Path(__file__).with_name("train_models.py")


@dataclass(frozen=True)
class FastLocal:
    """The launcher of mode ``fast_local``; ``entry`` is the script that every attempt runs, ``grace`` the seconds
    between TERM and KILL."""

    entry: Path = ENTRY
    grace: float = 10.0

    def submit(self, run: Run, rundir: RunDir, attempt: int, data: Path) -> Job:
        """Starts the job.

        Raises:
            BlockingIOError: another attempt at this run lives.
        """
        directory = rundir.attempt(attempt)
        with _locked(rundir, patience=LOCK_SECONDS) as lock:
            process = self._start(run, rundir, directory, data, lock)
        with contextlib.suppress(OSError):  # only needed to stop an orphan
            (directory / "pid").write_text(str(process.pid))
        return _Process(process, self.grace)

    def adopt(self, run: Run, rundir: RunDir, attempt: int) -> Job | None:
        """The attempt whose lock is still held."""
        if not rundir.lock_path.exists() or not is_locked(rundir):
            return None
        with contextlib.suppress(FileNotFoundError, ValueError):
            return _Orphan(rundir, int((rundir.attempt(attempt) / "pid").read_text()), self.grace)
        return _Orphan(rundir, None, self.grace)

    def _start(self, run: Run, rundir: RunDir, attempt: Path, data: Path, lock: int) -> subprocess.Popen[bytes]:
        with (attempt / "log.txt").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, str(self.entry)],
                env=job_environment(run, rundir, attempt, data, os.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock],
            )


def is_locked(rundir: RunDir) -> bool:
    """Whether an attempt at the run lives, whoever started it."""
    try:
        with _locked(rundir):
            return False
    except BlockingIOError:
        return True


def job_environment(run: Run, rundir: RunDir, attempt: Path, data: Path, base: Mapping[str, str]) -> dict[str, str]:
    """SageMaker's variables over ``base``, and one share of the cores for every library that would take them all."""
    threads = str(run.threads)
    return {
        **base,
        "SM_CHANNEL_CONFIG": str(rundir.path),
        "SM_CHANNEL_DATA": str(data),
        "SM_OUTPUT_DATA_DIR": str(rundir.path),
        "SM_MODEL_DIR": str(rundir.path),
        "SM_OUTPUT_DIR": str(attempt),
        "SM_CHECKPOINT_DIR": str(rundir.checkpoint),
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "PYTHONUNBUFFERED": "1",
        "PYTHONHASHSEED": "0",
    }


@contextlib.contextmanager
def _locked(rundir: RunDir, patience: float = 0.0) -> Iterator[int]:
    handle = os.open(rundir.lock_path, os.O_RDWR | os.O_CREAT, 0o644)
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


@dataclass
class _Process:
    """A child of this process."""

    process: subprocess.Popen[bytes]
    grace: float

    def poll(self) -> JobState:
        code = self.process.poll()
        if code is None:
            return JobState("running")
        return JobState("ended", _explain(code))

    def cancel(self) -> None:
        if self.process.poll() is None:
            _signal_group(self.process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(self.grace)
        _signal_group(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True)
class _Orphan:
    """An attempt that outlived the process that started it: its lock says whether it lives."""

    rundir: RunDir
    pid: int | None
    grace: float

    def poll(self) -> JobState:
        if is_locked(self.rundir):
            return JobState("running")
        return JobState("ended", Failure("killed", "the job ended without a result", time=time.time()))

    def cancel(self) -> None:
        for signum in (signal.SIGTERM, signal.SIGKILL):
            if self.pid is not None and is_locked(self.rundir):
                _signal_group(self.pid, signum)
                self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + self.grace
        while is_locked(self.rundir) and time.monotonic() < deadline:
            time.sleep(0.05)


def _explain(code: int) -> Failure:
    if code < 0:
        name = signal.Signals(-code).name
        return Failure("killed", f"the process was killed by {name}", time=time.time())
    return Failure("error", f"the process ended with exit code {code} and without a result", time=time.time())


def _signal_group(pid: int, signum: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signum)
