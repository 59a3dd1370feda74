"""Hosts that run nothing: they take a time, on the jobs' clock, and end with a code that the request gives.

The job's environment tells: ``REHEARSAL_SECONDS`` of training a run, ``REHEARSAL_EXIT_CODE``.  A job with checkpoints
goes on after an interruption where it was.  Where the server was given a run directory (``--leaves``), each run of a
job leaves its files behind as its own: an epoch after the other while it runs, the rest at its end; then a job goes on
after its last epoch.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence

from launch.aws_uploads import PACK
from launch.rehearsal.clock import Clock
from launch.rehearsal.executors import Cluster, Settings
from launch.rehearsal.made_up import MadeUp, Outputs
from launch.training_job import PACK_VARIABLE, RUN_TAG


class Simulated:
    """Starts hosts that only wait."""

    interface = "eth0"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._done: defaultdict[str, float] = defaultdict(float)
        self._started: dict[str, float] = {}
        self._made_up = MadeUp(settings.leaves) if settings.leaves else None
        self.channels = ("config",) if self._made_up else ()

    def check(self) -> None:
        """Every machine can wait."""

    def start(self, cluster: Cluster) -> Sequence[Waiting]:
        job, now = cluster.trees[0].job, self._clock.now()
        mean = float(cluster.environment.get("REHEARSAL_SECONDS", self._settings.seconds))
        shared = self._made_up is not None and PACK_VARIABLE in cluster.environment
        seconds = {run_id: mean * drawn(run_id, self._settings.spread) for run_id in _runs(cluster, shared=shared)}
        code = int(cluster.environment.get("REHEARSAL_EXIT_CODE", "0"))
        self._started[job.arn] = now
        outputs = self._made_up.of(cluster.trees[0], seconds, shared=shared) if self._made_up else None
        end = now + sum(seconds.values()) - (outputs.done if outputs else self._done[job.arn])
        first, *others = [Waiting(each.host, self._clock, end, code) for each in cluster.trees]
        first.outputs = outputs
        return [first, *others]

    def release(self, cluster: Cluster) -> None:
        job = cluster.trees[0].job
        if "CheckpointConfig" in job.request:
            self._done[job.arn] += self._clock.now() - self._started[job.arn]


def drawn(name: str, spread: float) -> float:
    """How much longer or shorter than the mean a run of this id, or a job of this name, is: alike each time."""
    return random.Random(name).uniform(1 - spread, 1 + spread)  # noqa: S311 - lengths of made-up runs


def _runs(cluster: Cluster, *, shared: bool) -> Sequence[str]:
    """The ids of the job's runs; of a job that is not ours, its name."""
    tree = cluster.trees[0]
    if shared:
        listed = json.loads((tree.ml / "input/data/config" / PACK).read_text(encoding="utf-8"))
        return tuple(listed["runs"])
    tags = {each["Key"]: each["Value"] for each in tree.job.request.get("Tags", ())}
    return (tags.get(RUN_TAG, tree.job.name),)


class Waiting:
    """A host that has an end in time."""

    pid = 0

    def __init__(self, name: str, clock: Clock, end: float, code: int) -> None:
        self.name, self._clock, self._end, self._code = name, clock, end, code
        self.outputs: Outputs | None = None
        self._stopped = False

    def poll(self) -> int | None:
        left = self._end - self._clock.now()
        if self.outputs and not self._stopped:
            self.outputs.write(left, self._clock.now())
        return None if left > 0 else self._code

    def terminate(self) -> None:
        """As a program does that handles it."""
        self._end, self._stopped = min(self._end, self._clock.now()), True

    def kill(self) -> None:
        self._end, self._code, self._stopped = self._clock.now(), -9, True
