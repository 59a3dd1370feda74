"""Measures the speed of what has a result and no speed yet: from the cache, else by jobs that run alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmark.attempt import Active, Limits, read_profile
from benchmark.profiles import Profiles
from benchmark.records import Failure, FailureKind
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.sweep_events import Measuring, Notice
from launch import Job

POLL_SECONDS = 0.02
LASTING: frozenset[FailureKind] = frozenset({"oom", "config", "error"})
"""Failures that would come again; after any other the speed is measured by the next sweep."""

Profile = Mapping[str, float | None]


@dataclass(frozen=True)
class Measurement:
    """Args:
    profiles: the cache.
    submit: starts the job of a run in a directory, as attempt number so and so.
    names: what people call a run.
    limits: of a job.
    stopped: whether the user asked to stop.
    """

    profiles: Profiles
    submit: Callable[[Run, RunDir, int], Job]
    names: Mapping[str, str]
    limits: Limits
    stopped: Callable[[], bool]

    def unknown(self, runs: Sequence[Run]) -> list[Run]:
        """One run of each speed that was not tried yet."""
        groups = self.profiles.groups(runs)
        return [group[0] for group in groups if self.profiles.known(group[0]) is None]

    def events(self, runs: Sequence[Run]) -> Iterator[Measuring | Notice]:
        """Measures one run after the other; to be left alone with the machine."""
        for number, run in enumerate(runs, 1):
            if self.stopped():
                return
            yield Measuring(run, number, len(runs))
            failure = self._measure(run)
            if failure is not None:
                yield Notice(f"the speed of {self.names[run.run_id]} could not be measured: {failure.message}")

    def _measure(self, run: Run) -> Failure | None:
        place = self.profiles.place(run)
        place.path.mkdir(parents=True, exist_ok=True)
        place.clear_outcome()
        place.write_run(run)
        attempt = place.last_attempt + 1
        active = Active(run, place, attempt, self.submit(run, place, attempt))
        self._wait(active)
        if self.stopped() or read_profile(place):
            place.clear_failure()
            return None
        failure = active.outcome(active.job.poll())
        assert isinstance(failure, Failure)
        if failure.kind in LASTING:
            place.write_failure(failure)
        else:
            place.clear_failure()  # the job's own word
        return failure

    def _wait(self, active: Active) -> None:
        asked = False
        while active.job.poll().status == "running":
            if self.stopped() and not asked:
                active.job.cancel()
                asked = True
            active.enforce(self.limits)
            time.sleep(POLL_SECONDS)
