"""Ways to start an attempt at a run: the interface of a launcher, and the modes by name.

A launcher starts a job and nothing else.  Resuming, retries, concurrency and publishing are above it, once, in
``benchmark.sweep``.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from benchmark import plugins
from benchmark.records import Failure
from benchmark.run import Run
from benchmark.rundir import RunDir

MODES: Mapping[str, str] = {
    "fast_local": "launch.fast_local:FastLocal",
    "local": "launch.local:Local",
    "aws": "launch.aws:Aws",
}
"""Mode -> where its launcher stands; imported when it is asked for."""

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "fast_local": ("start", "workers_per_gpu"),
    "local": ("start", "image", "deep_learning_image", "memory_gib", "hosts", "network_isolation"),
    "aws": ("aws", "image", "deep_learning_image", "hosts", "network_isolation", "time_limit"),
}
"""Mode -> the keys of the YAML's ``launch`` that its launcher takes."""

ALIASES: Mapping[str, str] = {"fast_local_mode": "fast_local", "local_mode": "local", "aws_mode": "aws"}
"""The original project's spellings."""

REMOTE = ("aws",)
"""Modes whose jobs have machines of their own, for money."""


def is_remote(mode: str) -> bool:
    """Whether jobs of ``mode`` run elsewhere."""
    return ALIASES.get(mode, mode) in REMOTE


class ModeError(Exception):
    """A mode that cannot be used; the message says which can."""


class Unavailable(Exception):
    """What a mode needs is not on this machine; the message says what, and the remedy."""


@dataclass(frozen=True)
class JobState:
    """Running, or ended.  What a job achieved is read from its run directory; ``failure`` is what only the launcher
    knows of a job that ended without a result or a failure of its own.  ``again``: it could not begin for want of
    machines, which is no try; so many seconds later there may be some."""

    status: Literal["running", "ended"]
    failure: Failure | None = None
    again: float | None = None


class Job(Protocol):
    """The handle of a started attempt."""

    def poll(self) -> JobState:
        """What is known now; returns at once."""
        ...

    def cancel(self) -> None:
        """Asks the job, and everything it started, to stop, and returns at once; one that does not listen is killed
        by a later :meth:`poll`."""
        ...

    def cpu_seconds(self) -> float | None:
        """Processor time spent so far, as a sign of life; ``None`` where it cannot be told."""
        ...


class Launcher(AbstractContextManager["Launcher"], Protocol):
    """One way to start an attempt.  Left with the block: what it keeps for its jobs; the jobs themselves go on."""

    @property
    def remote(self) -> bool:
        """Whether each job has a machine of its own, for money: it measures its own speed, minds the time limit
        itself, and may be left to itself."""
        ...

    @property
    def place(self) -> str:
        """Where jobs run, as far as their speed depends on it: empty for this machine and its libraries, else a name
        of the image."""
        ...

    def prepare(self) -> None:
        """Begins, in the background, what takes time before a first job; to call it is not needed."""
        ...

    def fits(self, run: Run) -> bool:
        """Whether there is room for the run beside those under way, as far as the launcher knows of more than cores
        and memory; asked often, and answered at once."""
        ...

    def submit(self, run: Run, rundir: RunDir, attempt: int, data: Path, tasks: str = "train") -> Job:
        """Starts attempt number ``attempt`` at ``run`` over the decoded images in ``data``.

        ``tasks`` are ``train``, ``profile`` or ``train,profile``.
        """
        ...

    def adopt(self, run: Run, rundir: RunDir, attempt: int) -> Job | None:
        """The handle of an attempt that an earlier process started and that still lives, else ``None``."""
        ...

    def wait(self, seconds: float) -> None:
        """Returns after ``seconds``, or earlier, when a job may have ended."""
        ...

    def notices(self) -> Iterator[str]:
        """What happened since the last call that a user should know, and that changes no result."""
        ...


def make(
    mode: str,
    settings: object,
    share: Callable[[Run], float] | None = None,
    gpu_memory: Callable[[Run], int] | None = None,
) -> Launcher:
    """The launcher of ``mode`` (or of the original project's spelling of it).

    Args:
        settings: has an attribute for each of the mode's :data:`SETTINGS`, and ``options`` for a plug-in's.
        share: how much of a remote job a run takes, where several may share one; by default all.
        gpu_memory: bytes of tensors that a run is expected to hold on a GPU, where several may share one; else 0.

    Raises:
        ModeError: there is no such mode, or it has no options.
        Unavailable: what the mode needs is not on this machine.
    """
    name = ALIASES.get(mode, mode)
    if name not in MODES:
        return _added(mode, settings)
    if getattr(settings, "options", None):
        raise ModeError(f"launch: options are for the mode of a plug-in; {name} has none: leave them out")
    module, attribute = MODES[name].split(":")
    chosen: dict[str, Any] = {key: getattr(settings, key) for key in SETTINGS[name]}
    if share is not None and name in REMOTE:
        chosen["share"] = share
    if gpu_memory is not None and "workers_per_gpu" in chosen:
        chosen["gpu_memory"] = gpu_memory
    return cast(Launcher, getattr(importlib.import_module(module), attribute)(**chosen))


def _added(mode: str, settings: object) -> Launcher:
    """A plug-in's launcher.

    Raises:
        ModeError: there is none, or it does not take the options that are given.
        PluginError: it cannot be imported.
    """
    added = plugins.found("launchers")
    if mode not in added:
        raise ModeError(f"unknown mode {mode!r}; the modes are {', '.join([*MODES, *added])}")
    made, options = added[mode].load(), getattr(settings, "options", {})
    try:
        inspect.signature(made).bind(**options)
    except TypeError as error:
        raise ModeError(f"launch: options: mode {mode} of {added[mode].distribution} {error}") from error
    return cast(Launcher, made(**options))
