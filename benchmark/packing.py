"""How many runs share a training job in AWS, so that the start-up of a job is not paid for each short run.

With ``auto`` the forecast decides: as many of a kind as make the start-up :data:`STARTUP_SHARE` of the job, but no job
longer than :data:`LONGEST_SECONDS`, and no so few jobs that some of those that may run at a time are missing.  Runs of
which nothing is known, or that are taken for long, have a job of their own; the first ones that end teach the rest.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmark.config.experiment import LaunchSettings
from benchmark.forecast import Forecast
from benchmark.run import Run

STARTUP_SHARE = 0.1
"""Of a job's seconds, at most, as far as the bounds below allow."""
LONGEST_SECONDS = 3600.0
"""Of a job that ``auto`` makes: what is lost with it, or stopped with it, is at most that."""
MOST_RUNS = 100
UNKNOWN = (
    "aws: runs_per_job: auto: how long a run takes is not known yet, so the first ones have training jobs of their "
    "own; `plan` measures it beforehand"
)


@dataclass(frozen=True)
class Packing:
    """Of the runs ``todo``.  ``forecast`` may learn meanwhile."""

    launch: LaunchSettings
    todo: Sequence[Run]
    forecast: Forecast

    def runs_per_job(self, run: Run) -> int:
        """So many runs like this one share a job."""
        aws, count, seconds = self.launch.aws, self._counts[self._kind(run)], self.forecast.seconds(run)
        if self.launch.hosts > 1:
            return 1
        if aws.runs_per_job != "auto":
            return max(1, min(aws.runs_per_job, count))
        return 1 if seconds is None else chosen(seconds, aws.startup_seconds, count, aws.concurrency)

    def share(self, run: Run) -> float:
        """How much of a job the run takes."""
        return 1 / self.runs_per_job(run)

    def startup_seconds(self, run: Run) -> float:
        """What of the start-up of its job the run pays for."""
        count = max(1, self._counts[self._kind(run)])
        jobs = math.ceil(count / self.runs_per_job(run))
        return self.launch.aws.startup_seconds * jobs / count

    @property
    def jobs(self) -> int:
        """At a time, of all instance types together."""
        return self.launch.aws.concurrency * max(1, len(self._counts))

    @property
    def workers(self) -> int:
        """Runs that are to be submitted at a time, so that all these jobs can be full."""
        most: Counter[str] = Counter()
        for run in self.todo:
            most[self._kind(run)] = max(most[self._kind(run)], self.runs_per_job(run))
        return self.launch.aws.concurrency * max(1, sum(most.values()))

    def count_workers(self) -> int:
        """The same by what has been learnt since."""
        return self.workers

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(map(self._kind, self.todo))

    def _kind(self, run: Run) -> str:
        return run.instance_type or self.launch.aws.instance_type


def chosen(seconds: float, startup: float, count: int, concurrency: int) -> int:
    """How many runs of so many ``seconds`` share a job.

    Args:
        startup: seconds of a job beside its runs.
        count: of the runs that there are.
        concurrency: jobs that may run at a time.
    """
    enough = math.ceil((1 / STARTUP_SHARE - 1) * startup / max(seconds, 1e-9))
    short = max(1, int(LONGEST_SECONDS / max(seconds, 1e-9)))
    filled = max(1, math.ceil(count / concurrency))
    return max(1, min(enough, short, filled, MOST_RUNS))
