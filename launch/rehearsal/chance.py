"""Which call and which job a fault hits: :class:`launch.rehearsal.faults.Faults` with what has been counted so far."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase

from launch.rehearsal.faults import Error, Faults, Interrupt

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
            self._throws = random.Random(faults.seed)  # noqa: S311 - to be repeated

    def call(self, service: str, operation: str) -> Verdict:
        """Counts a call and judges it."""
        with self._lock:
            self._calls.update((operation, "*"))
            return self._judged(service, operation)

    def _judged(self, service: str, operation: str) -> Verdict:
        if self.faults.expired:
            return Verdict(EXPIRED)
        for each in self.faults.errors:
            if each.operation in (operation, "*") and self._is_due(each):
                return Verdict(each.code)
        if service == "sagemaker" and self._throws.random() < self.faults.throttle:
            return Verdict(THROTTLED)
        count = self._calls[operation]
        return Verdict(lost=any((each.operation, each.nth) == (operation, count) for each in self.faults.lost))

    def created(self, job: str) -> bool:
        """Counts a new job; whether there are instances for it."""
        with self._lock:
            self._created += 1
            short = self._hits("capacity", job, self.faults.capacity)
            return not short and self._created not in self.faults.capacity_jobs

    def interruption(self, job: str) -> Interrupt | None:
        """The next one that waits for a spot job."""
        with self._lock:
            fitting = [each for each in self.faults.interrupt if fnmatchcase(job, each.job)]
            fitting += [Interrupt(job, self.faults.spot_after)] * self._hits("spot", job, self.faults.spot)
            return dict(enumerate(fitting)).get(self._interrupted[job])

    def interrupt(self, job: str) -> None:
        """Counts an interruption that has taken place."""
        with self._lock:
            self._interrupted[job] += 1

    def _is_due(self, error: Error) -> bool:
        since = self._calls[error.operation] - error.nth
        return since >= 0 and (not error.times or since < error.times)

    def _hits(self, kind: str, job: str, share: float) -> bool:
        return random.Random(f"{self.faults.seed} {kind} {job}").random() < share  # noqa: S311 - the same
