"""The ways in which the hosts of a training job are run: a small interface, and where each is."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from launch.rehearsal.clock import Clock
from launch.rehearsal.tree import Tree

EXECUTORS = {
    "namespace": "launch.rehearsal.namespace:Namespaces",
    "docker": "launch.rehearsal.in_docker:Containers",
    "simulated": "launch.rehearsal.simulated:Simulated",
}


@dataclass(frozen=True)
class Settings:
    """How the server was started.

    Attributes:
        image: the image of all jobs, instead of the one that each names.
        startup_seconds: so long instances take to come, unless they are warm.
        grace: seconds between TERM and KILL; AWS gives 120.
        mirror_seconds: between two looks at the checkpoints and the logs.
        mirror_deletions: whether a checkpoint that the program deletes is deleted in S3, as AWS documents it.
        check_inputs: whether a channel without objects is refused when the job is created, as has been seen in AWS;
            else the job fails when it downloads.
        speed: seconds of the jobs' clock in a real one.
        seconds: so long a simulated job takes whose environment has no ``REHEARSAL_SECONDS``.
        spread: by this share at most a simulated run takes longer or shorter, as its id has it, or the job's name.
        leaves: a run directory whose epochs and outputs simulated jobs leave behind as those of their runs.
        tick_seconds: real ones, between two looks at the hosts of a job.
        beat: a file of :mod:`launch.rehearsal.beat`, whose first place is the server's.
        count_calls: calls are too many to be kept, and only counted.
    """

    directory: Path
    executor: str = "namespace"
    image: str = ""
    startup_seconds: float = 0.0
    grace: float = 120.0
    mirror_seconds: float = 1.0
    mirror_deletions: bool = False
    check_inputs: bool = False
    speed: float = 1.0
    seconds: float = 60.0
    spread: float = 0.0
    leaves: Path | None = None
    tick_seconds: float = 0.05
    beat: Path | None = None
    count_calls: bool = False


@dataclass(frozen=True)
class Cluster:
    """The hosts of one attempt at a job, ready to start."""

    trees: tuple[Tree, ...]
    number: int
    """Of the attempt, among all that the server has started."""
    entrypoint: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    isolated: bool = False
    """Whether it must not reach other networks."""


class Host(Protocol):
    """One host's first process."""

    name: str
    pid: int

    def poll(self) -> int | None:
        """The exit code, negative for a signal; ``None`` while it runs."""

    def terminate(self) -> None:
        """Sends TERM to the first process, and to it alone."""

    def kill(self) -> None:
        """Ends every process of the host."""


class Executor(Protocol):
    """A way to run hosts."""

    interface: str
    """The name of their network interface."""
    channels: Sequence[str] | None
    """Those that hosts read; others are not fetched.  ``None``: all."""

    def check(self) -> None:
        """Raises ``OSError`` with a remedy where this machine cannot run hosts so."""

    def start(self, cluster: Cluster) -> Sequence[Host]:
        """Starts all hosts; what they say goes to the logs of their trees."""

    def release(self, cluster: Cluster) -> None:
        """Gives back what the hosts shared, after they have ended."""


def load(settings: Settings, clock: Clock) -> Executor:
    """The executor that the settings name."""
    module, _, name = EXECUTORS[settings.executor].partition(":")
    kind: Any = getattr(importlib.import_module(module), name)
    return cast(Executor, kind(settings, clock))
