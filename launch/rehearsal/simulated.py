"""Hosts that run nothing: they take a time, on the jobs' clock, and end with a code that the request gives.

The job's environment tells: ``REHEARSAL_SECONDS`` of training, ``REHEARSAL_EXIT_CODE``.  A job with checkpoints goes on
after an interruption where it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from launch.rehearsal.clock import Clock
from launch.rehearsal.executors import Cluster, Settings


class Simulated:
    """Starts hosts that only wait."""

    interface = "eth0"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._done: defaultdict[str, float] = defaultdict(float)
        self._started: dict[str, float] = {}

    def check(self) -> None:
        """Every machine can wait."""

    def start(self, cluster: Cluster) -> Sequence[Waiting]:
        arn, now = cluster.trees[0].job.arn, self._clock.now()
        seconds = float(cluster.environment.get("REHEARSAL_SECONDS", self._settings.seconds))
        code = int(cluster.environment.get("REHEARSAL_EXIT_CODE", "0"))
        self._started[arn] = now
        return [Waiting(each.host, self._clock, now + seconds - self._done[arn], code) for each in cluster.trees]

    def release(self, cluster: Cluster) -> None:
        job = cluster.trees[0].job
        if "CheckpointConfig" in job.request:
            self._done[job.arn] += self._clock.now() - self._started[job.arn]


class Waiting:
    """A host that has an end in time."""

    pid = 0

    def __init__(self, name: str, clock: Clock, end: float, code: int) -> None:
        self.name, self._clock, self._end, self._code = name, clock, end, code

    def poll(self) -> int | None:
        return self._code if self._clock.now() >= self._end else None

    def terminate(self) -> None:
        """As a program does that handles it."""
        self._end = min(self._end, self._clock.now())

    def kill(self) -> None:
        self._end, self._code = self._clock.now(), -9
