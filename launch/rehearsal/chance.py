"""Which call and which job a fault hits: :class:`launch.rehearsal.faults.Faults` with what has been counted so far."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase

from launch.rehearsal.faults import Faults, Interrupt

EXPIRED = "ExpiredTokenException"
THROTTLED = "ThrottlingException"


@dataclass(frozen=True)
class Verdict:
    """What becomes of one call."""

    error: str | None = None
    lost: bool = False


class Chance:
    """Safe to ask from several threads."""

    def __init__(self, faults: Faults) -> None:
        self._lock = threading.Lock()
        self.set(faults)

    def set(self, faults: Faults) -> None:
        """From now on these; every count starts anew."""
        with self._lock:
            self.faults = faults
            self._calls: Counter[str] = Counter()
            self._created = 0
            self._interrupted: Counter[str] = Counter()
            self._unlucky: set[str] = set()
            self._throws: dict[str, random.Random] = {}

    def call(self, service: str, operation: str) -> Verdict:
        """Counts a call and judges it."""
        with self._lock:
            self._calls.update((operation, "*"))
            return self._judged(service, operation)

    def _judged(self, service: str, operation: str) -> Verdict:
        if self.faults.expired:
            return Verdict(EXPIRED)
        for each in self.faults.errors:
            if each.operation in (operation, "*") and 0 <= self._calls[each.operation] - each.nth < each.times:
                return Verdict(each.code)
        if service == "sagemaker" and self._hits("throttle", self.faults.throttle):
            return Verdict(THROTTLED)
        count = self._calls[operation]
        return Verdict(lost=any((each.operation, each.nth) == (operation, count) for each in self.faults.lost))

    def created(self, job: str, *, spot: bool) -> bool:
        """Counts a new job; whether there are instances for it."""
        with self._lock:
            self._created += 1
            if spot and self._hits("spot", self.faults.spot):
                self._unlucky.add(job)
            short = self._hits("capacity", self.faults.capacity)
            return not short and self._created not in self.faults.capacity_jobs

    def interruption(self, job: str) -> Interrupt | None:
        """The next one that waits for a spot job."""
        with self._lock:
            fitting = [each for each in self.faults.interrupt if fnmatchcase(job, each.job)]
            fitting += [Interrupt(job)] * (job in self._unlucky)
            return dict(enumerate(fitting)).get(self._interrupted[job])

    def interrupt(self, job: str) -> None:
        """Counts an interruption that has taken place."""
        with self._lock:
            self._interrupted[job] += 1

    def _hits(self, kind: str, share: float) -> bool:
        throws = self._throws.setdefault(kind, random.Random(f"{self.faults.seed} {kind}"))  # noqa: S311
        return throws.random() < share
