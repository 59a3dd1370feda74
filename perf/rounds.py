"""Sides of a comparison, measured in turns in one process, since a machine's speed drifts while it is measured."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from launch import fast_local

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Rate:
    """Images per second, by the processor's clock and by the wall's: medians over the rounds."""

    cpu: float
    wall: float


def in_turns(sides: Mapping[str, Callable[[], int]], rounds: int) -> dict[str, list[Rate]]:
    """Each side's rate in each round.  A side does some work and says of how many images; before the first round each
    does it once, unmeasured, which loads and plans kernels.  Processor time includes ended children."""
    for side in sides.values():
        side()
    found: dict[str, list[Rate]] = {name: [] for name in sides}
    for number in range(rounds):
        names = list(sides) if number % 2 == 0 else list(reversed(sides))  # so that no side is always the first
        for name in names:
            cpu, wall = cpu_seconds(), time.perf_counter()
            images = sides[name]()
            found[name].append(Rate(images / (cpu_seconds() - cpu), images / (time.perf_counter() - wall)))
    return found


def medians(found: Mapping[str, list[Rate]]) -> dict[str, Rate]:
    """Of each side over its rounds."""
    return {
        name: Rate(statistics.median(each.cpu for each in rates), statistics.median(each.wall for each in rates))
        for name, rates in found.items()
    }


def ratio(found: Mapping[str, list[Rate]], ours: str, theirs: str) -> float:
    """How many times as many images ``ours`` does in a CPU second: the median over the rounds of their ratios, whose
    two sides were measured a moment apart."""
    return statistics.median(a.cpu / b.cpu for a, b in zip(found[ours], found[theirs], strict=True))


def cpu_seconds() -> float:
    """Of this process and its ended children, user and system."""
    return sum(os.times()[:4])


def as_a_job(threads: int = 1) -> None:
    """Starts this program again with the variables that every job gets, read by the allocator and OpenMP at start."""
    wanted = {**fast_local.ALLOCATOR, **fast_local.threads(threads)}
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})
