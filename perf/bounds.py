"""How long simulated jobs are to take, one and all: what a sweep of them is measured by."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from launch.rehearsal.simulated import drawn

EPOCHS = 5


class Chosen(Protocol):
    """What the jobs were asked to be; times are in seconds."""

    seconds: float
    """Of a run, in the mean."""
    spread: float
    startup: float
    runs_per_job: int


@dataclass(frozen=True)
class Job:
    """One training job: when it was created, how long it took and should have; ``warm``: its instance was there.

    ``alone`` is how long its runs would have taken in jobs of their own, without an interruption.
    """

    name: str
    created: float
    seconds: float
    planned: float
    alone: float
    attempts: int
    warm: bool

    @classmethod
    def of(cls, state: Mapping[str, Any], runs: Sequence[str], warm: set[str], chosen: Chosen) -> Job:
        """From the server's word; ``runs`` are the ids of its own, ``warm`` the jobs that reused an instance."""
        name, attempts = state["name"], max(1, state["attempts"])
        starts = attempts - (name in warm)
        lengths = [chosen.seconds * drawn(each, chosen.spread) for each in runs]
        planned = starts * chosen.startup + sum(lengths) + (attempts - 1) * repeated(lengths, chosen)
        alone = len(runs) * chosen.startup + sum(lengths)
        took = state["modified"] - state["created"]
        return cls(name, state["created"], took, planned, alone, attempts, name in warm)


def interrupted_after(chosen: Chosen) -> float:
    """Seconds of training after which spot instances are lost: half of the mean job's."""
    return chosen.seconds * chosen.runs_per_job / 2


def repeated(lengths: Sequence[float], chosen: Chosen) -> float:
    """Seconds that are trained again after such an interruption of runs of these lengths, one after the other: those
    since the last epoch."""
    left = interrupted_after(chosen)
    for length in lengths:
        if left < length:
            return left % (length / EPOCHS)
        left -= length
    return 0.0


def bound(jobs: Sequence[Job], places: int, quota: tuple[int, float] | None = None) -> float:
    """When the last of ``jobs`` ends that follow one another, in the order of their creation and without a pause, on
    so many places; until a time (``quota``) there are fewer."""
    first, lifted = quota or (places, 0.0)
    free = [0.0] * first + [lifted] * (places - first)
    heapq.heapify(free)
    for each in sorted(jobs, key=lambda job: job.created):
        heapq.heappush(free, heapq.heappop(free) + each.planned)
    return max(free)
