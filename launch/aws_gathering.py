"""The jobs to be that runs gather in: which one a run joins, and which of them may begin.

A job that has not begun takes runs like those that it has, until it is full.  It begins when there is room for another
job and it is full, or it is its turn and nothing more was submitted for a moment.  So what is submitted at once shares
jobs, and what is submitted while no job may begin gathers meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from launch.aws_slots import now

QUIET_SECONDS = 1.0
"""Nobody submits for so long who has more to submit at once."""
ROUNDING = 1e-9
T = TypeVar("T")


@dataclass
class Place(Generic[T]):
    """One job to be, and how much of it is taken: 1 is full."""

    job: T
    line: Hashable
    likeness: Hashable
    taken: float
    joined: float

    @property
    def is_full(self) -> bool:
        return self.taken > 1 - ROUNDING


@dataclass
class Gathering(Generic[T]):
    """From several threads."""

    clock: Callable[[], float] = now
    _places: list[Place[T]] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def join(
        self, line: Hashable, likeness: Hashable, share: float, make: Callable[[], T], add: Callable[[T], None]
    ) -> T:
        """The job that a run joins, which ``add`` puts it into: one of its likeness that has room for its ``share``, or
        one that ``make`` makes, at the end of the line."""
        with self._lock:
            place = next((each for each in self._places if self._has_room(each, likeness, share)), None)
            if place is None:
                place = Place(make(), line, likeness, 0.0, 0.0)
                self._places.append(place)
            place.taken, place.joined = place.taken + share, self.clock()
            add(place.job)
            return place.job

    def may_begin(self, job: T) -> bool:
        """Whether it is full, or it is its turn in its line."""
        with self._lock:
            place = self._place(job)
            if place is None:
                return False
            return place.is_full or next(each for each in self._places if each.line == place.line) is place

    def close(self, job: T, since: float) -> bool:
        """Takes a job out whose turn it is ``since`` then, if it is full or nothing more comes; whether it did."""
        with self._lock:
            place = self._place(job)
            if place is None:
                return True
            quiet = self.clock() - max(place.joined, since) >= QUIET_SECONDS
            if quiet or place.is_full:
                self.leave(job)
                return True
            return False

    def leave(self, job: T) -> None:
        """Nobody joins it any more."""
        with self._lock:
            self._places = [each for each in self._places if each.job is not job]

    def _place(self, job: T) -> Place[T] | None:
        return next((each for each in self._places if each.job is job), None)

    def _has_room(self, place: Place[T], likeness: Hashable, share: float) -> bool:
        return place.likeness == likeness and place.taken + share <= 1 + ROUNDING
