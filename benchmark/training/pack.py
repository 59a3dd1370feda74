"""The program of a training job that several runs share: each in a process of its own, one after the other.

The list of the runs is ``pack.json`` in the channel ``config``, and each has a directory of its name in the channel, in
the checkpoints, in the outputs and in the model directory.  A run's process is the very program that it would have in a
job of its own (:mod:`benchmark.training.job`), told these places: it gives the same bits, and whatever it does, memory
that runs out or a crash of the interpreter, its neighbours do not notice.

What a run that has ended leaves is put into one file among its checkpoints, :data:`ENDED`, which SageMaker mirrors to
S3 while the job goes on: there it is fetched, and a job that an interruption starts again passes over the run.  A run
that was cut off goes on from its checkpoint.  Beside it stand the seconds that the run has had, for its share of the
bill.

It imports no torch, so that the memory is the runs'.  The exit code is 0 when all runs have ended, well or not.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO

from benchmark.durable import FULL, atomic, write_json
from benchmark.machine import out_of_memory_kills
from benchmark.records import NO_SPACE, Failure
from benchmark.rundir import OUTPUTS, BrokenFile, RunDir
from benchmark.training.lifeline import tie
from benchmark.training.places import Places

VARIABLE, LIST = "BENCHMARK_PACK", "pack.json"
ENDED, SECONDS, LOG = "outputs.tar", "seconds.json", "log.txt"
"""Of a run, among its checkpoints: what it left, and the seconds that it has had.  Its log is among what it left."""
OWN = ("SM_CHANNEL_CONFIG", "SM_CHECKPOINT_DIR", "SM_OUTPUT_DATA_DIR", "SM_MODEL_DIR")
"""Directories in which every run has its own."""
LOOK_SECONDS, GRACE_SECONDS, LAST_WORDS_SECONDS = 0.1, 10.0, 5.0
MOST_LOG = 10 << 20


def main() -> int:
    """Runs what is listed: 0 when all has ended, 1 when it was asked to stop, 74 where the disk is full."""
    bell = Bell()
    signal.signal(signal.SIGTERM, bell)
    told = json.loads((Path(os.environ["SM_CHANNEL_CONFIG"]) / LIST).read_text(encoding="utf-8"))
    members = [Member.of(run_id, os.environ) for run_id in told["runs"]]
    try:
        for number, member in enumerate(members, 1):
            log(heading(member.run_id, number, len(members)))
            if not member.has_ended and not member.run(told["time_limit"], bell):
                return 1
    except OSError as error:
        log(str(error))
        return os.EX_IOERR if error.errno in FULL else 1
    return 0


def heading(run_id: str, number: int, of: int) -> str:
    """The line of the job's log before the lines of a run."""
    return f"== run {run_id} ({number} of {of}) =="


def log(line: str) -> None:
    """Standard output is the log of the job."""
    print(line, flush=True)


@dataclass
class Bell:
    """The handler of SIGTERM."""

    rung: bool = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self.rung = True


@dataclass(frozen=True)
class Member:
    """One of the runs; ``variables`` are the environment of its process."""

    run_id: str
    variables: Mapping[str, str]

    @classmethod
    def of(cls, run_id: str, variables: Mapping[str, str]) -> Member:
        """The run's own places below those of the job."""
        places = {name: str(Path(variables[name]) / run_id) for name in OWN}
        places["SM_OUTPUT_DIR"] = str(Path(variables["SM_OUTPUT_DIR"]) / "runs" / run_id)
        found = cls(run_id, {name: each for name, each in {**variables, **places}.items() if name != VARIABLE})
        for name in ("SM_CHECKPOINT_DIR", "SM_OUTPUT_DATA_DIR", "SM_MODEL_DIR", "SM_OUTPUT_DIR"):
            Path(found.variables[name]).mkdir(parents=True, exist_ok=True)
        return found

    @property
    def has_ended(self) -> bool:
        """Also before an interruption of the job."""
        return (self._rundir.checkpoint / ENDED).exists()

    def run(self, limit: float | None, bell: Bell) -> bool:
        """Trains the run, for at most ``limit`` seconds; whether it has ended, well or not."""
        if bell.rung:
            return False
        before = self._seconds()
        write_json(self._rundir.checkpoint / SECONDS, before)
        watch = Watch(self.variables, None if limit is None else limit - before, bell)
        code = watch.run(self._log)
        write_json(self._rundir.checkpoint / SECONDS, before + watch.seconds)
        failure = watch.failure(code, limit)
        if self._has_outcome():
            self._pack()
        elif bell.rung and not watch.over:
            return False
        else:
            self._rundir.write_failure(failure)
            log(f"{failure.kind}: {failure.message}")
            self._pack()
        return True

    def _has_outcome(self) -> bool:
        """Whether the program has said how it ended; that it was told to stop is no end of the run."""
        with contextlib.suppress(BrokenFile):
            if self._rundir.read_result():
                return True
            failure = self._rundir.read_failure()
            return failure is not None and failure.kind != "stopped"
        return False

    def _pack(self) -> None:
        """Everything of the run in one file, which appears whole."""
        rundir = self._rundir
        found = [rundir.path / name for name in OUTPUTS] + [rundir.model, self._log, rundir.checkpoint / SECONDS]
        with atomic(rundir.checkpoint / ENDED) as file, tarfile.open(fileobj=file, mode="w") as tar:
            for path in found:
                if path.exists():
                    tar.add(path, path.name)

    def _seconds(self) -> float:
        """Those before an interruption of the job."""
        with contextlib.suppress(OSError, ValueError):
            return float(json.loads((self._rundir.checkpoint / SECONDS).read_text(encoding="utf-8")))
        return 0.0

    @property
    def _rundir(self) -> RunDir:
        return Places.from_environment(self.variables).rundir

    @property
    def _log(self) -> Path:
        return Path(self.variables["SM_OUTPUT_DIR"]) / LOG


@dataclass
class Watch:
    """Over the process of one run: until it ends, is over its time, or the job is asked to stop.

    ``over``: whether it was stopped because its ``left`` seconds were over; ``seconds``: how long it lived.
    """

    variables: Mapping[str, str]
    left: float | None
    bell: Bell
    over: bool = False
    seconds: float = 0.0
    _kills: int = field(default_factory=out_of_memory_kills)
    _told: float | None = None

    def run(self, log: Path) -> int:
        """The exit code of the process, whose lines go to the job's log and into ``log``."""
        started = time.monotonic()
        with subprocess.Popen(
            [sys.executable, str(Path(sys.argv[0]).resolve())],
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=partial(tie, os.getpid()),
        ) as process:
            assert process.stdout is not None
            reader = threading.Thread(target=_copy, args=(process.stdout, log), daemon=True)
            reader.start()
            try:
                while process.poll() is None:
                    self.seconds = time.monotonic() - started
                    self._look(process)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(LOOK_SECONDS)
            finally:
                _end_group(process)  # what it has started would keep the machine, and its neighbours waiting
                reader.join(LAST_WORDS_SECONDS)
        self.seconds = time.monotonic() - started
        return process.returncode

    def failure(self, code: int, limit: float | None) -> Failure:
        """Why the process has ended without a word of its own."""
        now = time.time()
        if self.over:
            return Failure("timeout", f"stopped after {limit:g} seconds (launch: time_limit)", time=now)
        if code == -signal.SIGKILL and out_of_memory_kills() > self._kills:
            return Failure("oom", "the kernel killed the process: the instance ran out of memory", time=now)
        if code < 0:
            return Failure("killed", f"the process was killed by {signal.Signals(-code).name}", time=now)
        if code == os.EX_IOERR:
            return Failure("infrastructure", f"the run could not write its files: {NO_SPACE}", time=now)
        return Failure("error", f"the process ended with exit code {code} and without a result", time=now)

    def _look(self, process: subprocess.Popen[bytes]) -> None:
        """Who is asked to stop because of its time is killed after a grace; all others SageMaker kills."""
        if self._told is None and (self.bell.rung or (self.left is not None and self.seconds > self.left)):
            self._told, self.over = self.seconds, not self.bell.rung
            process.terminate()
        if self.over and self._told is not None and self.seconds > self._told + GRACE_SECONDS:
            _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _copy(stream: IO[bytes], path: Path) -> None:
    """Also where the disk is full: a program that is not read would wait for ever."""
    size = 0
    for line in stream:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        size += len(line)
        if size < MOST_LOG:
            with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
                file.write(line)
