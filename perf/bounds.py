"""How long simulated jobs are to take, one and all: what a sweep of them is measured by."""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

EPOCHS = 5


class Chosen(Protocol):
    """What the jobs were asked to be; times are in seconds."""

    seconds: float
    spread: float
    startup: float


@dataclass(frozen=True)
class Job:
    """One training job: when it was created, how long it took and should have; ``warm``: its instance was there."""

    name: str
    created: float
    seconds: float
    planned: float
    attempts: int
    warm: bool

    @classmethod
    def of(cls, state: Mapping[str, Any], warm: set[str], chosen: Chosen) -> Job:
        """From the server's word; ``warm`` are the jobs that reused an instance."""
        name, attempts = state["name"], max(1, state["attempts"])
        starts = attempts - (name in warm)
        length = training(name, chosen)
        planned = starts * chosen.startup + length + (attempts - 1) * repeated(length, chosen)
        return cls(name, state["created"], state["modified"] - state["created"], planned, attempts, name in warm)


def training(name: str, chosen: Chosen) -> float:
    """Seconds of training of a job of this name, as `launch.rehearsal.simulated` draws them."""
    return chosen.seconds * random.Random(name).uniform(1 - chosen.spread, 1 + chosen.spread)


def repeated(length: float, chosen: Chosen) -> float:
    """Seconds that are trained again after an interruption in the middle of the mean length: since the last epoch."""
    return (chosen.seconds / 2) % (length / EPOCHS)


def bound(jobs: Sequence[Job], places: int, quota: tuple[int, float] | None = None) -> float:
    """When the last of ``jobs`` ends that follow one another, in the order of their creation and without a pause, on
    so many places; until a time (``quota``) there are fewer."""
    first, lifted = quota or (places, 0.0)
    free = [0.0] * first + [lifted] * (places - first)
    heapq.heapify(free)
    for each in sorted(jobs, key=lambda job: job.created):
        heapq.heappush(free, heapq.heappop(free) + each.planned)
    return max(free)
