"""Runs as host processes under SageMaker's contract, without Docker.

Each attempt is a process of its own session and group, with its own environment, working directory, log, cores and
thread count: forked from a warm server where that is safe, else a fresh Python.  It inherits a lock on its run
directory, so that whoever finds the lock held knows that the attempt lives, also after the death of the process that
started it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from benchmark.run import Run
from benchmark.rundir import RunDir
from launch import Job, cores
from launch.attempts import Forked, Orphan, Spawned, is_locked, locked
from launch.order import Order
from launch.warm import ServerDied, WarmServer

LOCK_SECONDS = 1.0
"""So long a new attempt waits for somebody who only looks whether the run is alive."""

MOST_SERVERS = 20
"""A server that keeps dying is not started for ever: workers are then fresh processes."""

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
"""For glibc, which else gives each batch's memory back to the system and asks for it again, until it has found these
limits itself: tens of thousands of page faults later."""
ENTRY = Path(__file__).with_name("train_models.py")
PRELOAD = ("torch", "torch._dynamo", "torchvision", "timm", "benchmark.training.job")
"""What :data:`ENTRY` needs.  torchvision and the first optimizer would import ``torch._dynamo`` in mid-run."""
WORKER = Path(__file__).with_name("worker.py")
Start = Literal["auto", "fork", "spawn"]

__all__ = ["ENTRY", "FastLocal", "is_locked", "job_environment"]


class FastLocal:
    """The launcher of mode ``fast_local``.

    Args:
        start: ``fork``, ``spawn``, or ``auto``: fork where it is safe.
        entry: the script that every attempt runs.
        preload: the modules that a fork server imports for it.
        grace: seconds between TERM and KILL.
    """

    def __init__(
        self, start: Start = "auto", *, entry: Path = ENTRY, preload: Sequence[str] = PRELOAD, grace: float = 10.0
    ) -> None:
        self._fork = forks(start)
        self._entry, self._preload, self._grace = entry, preload, grace
        self._cores = cores.Cores()
        self._server: WarmServer | None = None
        self._servers = 0
        self._notices: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    def prepare(self) -> None:
        """Starts the fork server, which becomes warm in the background."""
        if self._fork and self._server is None:
            self._servers += 1
            self._server = WarmServer({**ALLOCATOR, **os.environ, **threads(1)}, self._preload)

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

    def submit(self, run: Run, rundir: RunDir, attempt: int, data: Path, tasks: str = "train") -> Job:
        """Starts the job.

        Raises:
            BlockingIOError: another attempt at this run lives.
        """
        directory = rundir.attempt(attempt).absolute()
        environment = job_environment(run, rundir, directory, data, os.environ, tasks)
        order = Order(self._entry, environment, directory, self._cores.take(run.cores) if _wants_cores(run) else ())
        try:
            return self._start(rundir, order)
        except BaseException:
            self._cores.give(order.cores)
            raise

    def adopt(self, run: Run, rundir: RunDir, attempt: int) -> Job | None:
        """The attempt whose lock is still held."""
        if not rundir.lock_path.exists() or not is_locked(rundir):
            return None
        return self._orphan(rundir, rundir.attempt(attempt))

    def _start(self, rundir: RunDir, order: Order) -> Job:
        server_died = False
        while True:
            try:
                with locked(rundir, patience=LOCK_SECONDS) as lock:
                    return self._forked(rundir, order, lock) if self._fork else self._spawned(order, lock)
            except ServerDied as error:
                self._replace_server(error)
                server_died = True
            except BlockingIOError:
                if not server_died:
                    raise
                return self._orphan(rundir, order.attempt)  # it was started after all: nobody else holds this lock

    def _forked(self, rundir: RunDir, order: Order, lock: int) -> Job:
        self.prepare()
        assert self._server is not None
        number = self._server.fork(order, lock)
        orphan = Orphan(rundir, order.attempt, self._grace, lambda: None)
        return Forked(self._server, number, orphan, self._grace, lambda: self._cores.give(order.cores))

    def _spawned(self, order: Order, lock: int) -> Job:
        command = [sys.executable, str(WORKER), str(order.attempt), ",".join(map(str, order.cores)), str(order.entry)]
        with (order.attempt / "log.txt").open("wb") as log:
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
        return Spawned(process, self._grace, lambda: self._cores.give(order.cores))

    def _orphan(self, rundir: RunDir, attempt: Path) -> Job:
        found = Orphan(rundir, attempt, self._grace, lambda: self._cores.give(own))
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


def job_environment(
    run: Run, rundir: RunDir, attempt: Path, data: Path, base: Mapping[str, str], tasks: str = "train,profile"
) -> dict[str, str]:
    """SageMaker's variables over ``base``, and one share of the cores for every library that would take them all.

    A job has its own working directory, so every path is absolute.
    """
    home = rundir.path.absolute()
    return {
        **ALLOCATOR,
        **base,
        "PYTHONPATH": os.pathsep.join(str(Path(each).absolute()) for each in _path(base)),
        "SM_CHANNEL_CONFIG": str(home),
        "SM_CHANNEL_DATA": str(data.absolute()),
        "SM_OUTPUT_DATA_DIR": str(home),
        "SM_MODEL_DIR": str(home),
        "SM_OUTPUT_DIR": str(attempt.absolute()),
        "SM_CHECKPOINT_DIR": str(rundir.checkpoint.absolute()),
        "BENCHMARK_TASKS": tasks,
        **threads(run.threads),
    }


def threads(count: int) -> dict[str, str]:
    """``count`` threads for every numerical library, and the same hashes in every process."""
    share = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(count))
    return {**share, "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0"}


def _path(base: Mapping[str, str]) -> list[str]:
    return [each for each in base.get("PYTHONPATH", "").split(os.pathsep) if each]


def _wants_cores(run: Run) -> bool:
    """A job on an accelerator has threads of its driver's, which should not share the worker's only core."""
    return run.device == "cpu" or not Path("/dev/nvidiactl").exists()
