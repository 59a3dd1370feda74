"""Sides of a comparison, measured in turns in one process, since a machine's speed drifts while it is measured."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from launch import fast_local
from perf.sides import Side

ROOT = Path(__file__).resolve().parent.parent


def in_turns(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Side]:
    """Each side's value in each round.

    Before the first round each is called once for nothing, which loads and plans kernels.
    """
    for side in sides.values():
        side()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        names = list(sides) if number % 2 == 0 else list(reversed(sides))  # so that no side is always the first
        for name in names:
            found[name].append(sides[name]())
    return {name: Side(name, tuple(values)) for name, values in found.items()}


def timed(work: Callable[[], object], times: int = 1) -> float:
    """CPU seconds of one call, ended children included; ``times``: the mean of several, of what takes milliseconds."""
    started = cpu_seconds()
    for _ in range(times):
        work()
    return (cpu_seconds() - started) / times


def cpu_seconds() -> float:
    """Of this process and its ended children, user and system; `os.times` has but a hundredth of a second."""
    found = (resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in found)


def piped(stream: IO[str] | None) -> IO[str]:
    """A process's stream that was opened as a pipe."""
    assert stream is not None
    return stream


def as_a_job(threads: int = 1) -> None:
    """Starts this program again with the variables that every job gets, read by the allocator and OpenMP at start."""
    wanted = {**fast_local.ALLOCATOR, **fast_local.threads(threads)}
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})
