"""A job whose run several processes train: starts torchrun over the job's own script, waits, and says how it ended.

The job's process is the one that is signalled and watched.  TERM goes on to every worker; when the job is killed, its
workers are (:mod:`benchmark.training.lifeline`).  Each worker leaves a word of how it ended in a directory of its own
under ``Places.ranks``: ``failure.json``, or ``ended``; one that began and left no word was killed.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmark.machine import out_of_memory_kills
from benchmark.records import Failure
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.training.failures import SECONDARY, Stopped
from benchmark.training.hosts import Hosts
from benchmark.training.lifeline import SESSION, tie
from benchmark.training.places import Places
from benchmark.training.ranks import MEETING

LOOK_SECONDS, LOOKS = 0.5, 30
"""Between looks at the kernel's count of kills for want of memory, and how many are remembered: torchrun needs some
seconds to end when a worker was killed."""
STOP_SECONDS = "4"
"""So long torchrun waits for workers that are to stop.  Whoever asked the job waits 10 s before it kills."""
GIVE_UP_SECONDS = 7.0
LOOPBACK = ("lo", "lo0")
"""On Linux, on macOS."""


def train_together(run: Run, places: Places, variables: Mapping[str, str]) -> Failure | None:
    """Trains ``run`` in the processes that it wants on this host; why that failed, or ``None``.

    Raises:
        TeamError: the hosts cannot have equally many processes.
        Stopped: the job was asked to stop.
    """
    hosts = Hosts.from_environment(variables)
    meeting = places.ranks / "torchrun"
    command = [sys.executable, "-P", "-m", "torch.distributed.run", *hosts.arguments(run.processes, meeting)]
    command += ["--log-dir", str(places.message.parent / "torchrun"), str(Path(sys.argv[0]).resolve())]
    shutil.rmtree(places.ranks, ignore_errors=True)
    places.ranks.mkdir(parents=True)
    # Its own group: it is told once to stop, by the job, and not a second time while it tells its workers.
    with subprocess.Popen(
        command,
        env={**_network(variables, hosts), **variables, **_supervised(), **_private(places, hosts)},
        process_group=0,
        preexec_fn=partial(tie, os.getpid()),
    ) as process:
        code, kills = _wait(process)
    return Ending(places.ranks, code, kills).failure if code else None


@dataclass(frozen=True)
class Ending:
    """How the workers in ``directory`` ended, when torchrun had ended with ``code`` and the kernel had killed ``kills``
    of this machine's processes for want of memory."""

    directory: Path
    code: int
    kills: int
    now: float = field(default_factory=time.time)

    @property
    def failure(self) -> Failure:
        """The earliest failure that is not another's consequence; else that a worker was killed; else any."""
        told = sorted(self._told(), key=lambda each: (each.kind in SECONDARY, each.time))
        if told and told[0].kind not in SECONDARY:
            return told[0]
        silent = ", ".join(sorted((place.name for place in self._places() if not _word(place)), key=int))
        if silent and self.kills:
            message = f"the kernel killed process {silent} of the run: the machine ran out of memory"
            return Failure("oom", message, time=self.now)
        if silent:
            return Failure("killed", f"process {silent} of the run was killed", time=self.now)
        nothing = f"torchrun ended with exit code {self.code}, and no process of the run says why"
        return told[0] if told else Failure("infrastructure", nothing, time=self.now)

    def _told(self) -> Iterator[Failure]:
        for place in self._places():
            if failure := RunDir(place).read_failure():
                yield failure

    def _places(self) -> list[Path]:
        return list(self.directory.glob("[0-9]*"))


@dataclass(frozen=True)
class Word:
    """What one worker leaves."""

    rank: int
    place: Path

    @classmethod
    def begin(cls, places: Places, rank: int) -> Word:
        """Says that the worker works."""
        place = places.ranks / str(rank)
        place.mkdir(parents=True, exist_ok=True)
        return cls(rank, place)

    def failed(self, failure: Failure) -> None:
        RunDir(self.place).write_failure(failure)

    def ended(self) -> None:
        (self.place / "ended").touch()


def _word(place: Path) -> bool:
    return any((place / name).exists() for name in ("ended", "failure.json"))


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """torchrun's exit code, and how often the kernel wanted memory shortly before."""
    seen = deque([out_of_memory_kills()], LOOKS)
    try:
        while process.poll() is None:
            seen.append(out_of_memory_kills())
            _pause(process, LOOK_SECONDS)
    except Stopped:
        process.terminate()
        _pause(process, GIVE_UP_SECONDS)
        if process.poll() != 0:  # else the run was finished before it heard
            raise
    finally:
        process.kill()
    return process.wait(), out_of_memory_kills() - seen[0]


def _pause(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _supervised() -> dict[str, str]:
    session = {SESSION: str(os.getsid(0))} if hasattr(os, "getsid") else {}
    # Every worker would warn that it looks for parameters without a gradient, which few networks have.
    quiet = {"TORCH_CPP_LOG_LEVEL": "ERROR", "PYTHONFAULTHANDLER": "1"}
    return {**session, **quiet, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": STOP_SECONDS}


def _private(places: Places, hosts: Hosts) -> dict[str, str]:
    """On one host nobody has to be reached through a network, and nobody else is to reach the processes."""
    if len(hosts.names) > 1:
        return {}
    return {MEETING: str(places.ranks / "processes"), "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


def _network(variables: Mapping[str, str], hosts: Hosts) -> dict[str, str]:
    """On one host the loopback interface.  Between hosts the one that SageMaker names, if it is there; local mode names
    one that is not."""
    wanted = LOOPBACK if len(hosts.names) == 1 else (variables.get("SM_NETWORK_INTERFACE_NAME"),)
    name = next((each for _, each in socket.if_nameindex() if each in wanted), None)
    return dict.fromkeys(("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"), name) if name else {}
