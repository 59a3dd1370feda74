"""An attempt under way: its epochs, its signs of life, and what it left when it has ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmark.records import Event, Failure, FailureKind, Result
from benchmark.run import Run
from benchmark.rundir import BrokenFile, RunDir
from launch import Job, JobState

EVENTS_SECONDS = 0.5
LIFE_SECONDS = 5.0
"""Between looks at the processor time."""
IDLE = 0.01
"""A job that takes less than this share of one core does nothing."""


@dataclass(frozen=True)
class Limits:
    """Seconds without a sign of life (``timeout``), and in all (``time_limit``); ``None``: without limit."""

    timeout: float | None = None
    time_limit: float | None = None


@dataclass
class Active:
    """An attempt under way.  ``why_stopped`` is set when it was over a limit (``kind`` is ``timeout``) or a user asked
    for it (``stopped``)."""

    run: Run
    rundir: RunDir
    attempt: int
    job: Job
    epochs: int = 0
    why_stopped: str | None = None
    kind: FailureKind = "timeout"
    _started: float = field(default_factory=time.monotonic)
    _looked: float = 0.0
    _stamp: tuple[int, int] | None = None
    _asked_at: float = 0.0
    _felt: float = field(default_factory=time.monotonic)
    _alive: float = field(default_factory=time.monotonic)
    _cpu: float = 0.0

    def new_events(self, last_look: bool = False) -> tuple[Event, ...]:
        """The epochs since the last call; looked for twice a second."""
        now = time.monotonic()
        if not last_look and now - self._looked < EVENTS_SECONDS:
            return ()
        self._looked = now
        if (stamp := self.rundir.events_stamp()) == self._stamp:
            return ()
        self._stamp = stamp
        try:
            found = self.rundir.read_events()[self.epochs :]
        except BrokenFile:
            return ()  # The result, if there is one, stands by itself.
        if found:
            self.epochs += len(found)
            self._alive = now
        return found

    def enforce(self, limits: Limits) -> None:
        """Asks a job that is over a limit, or that a user wants stopped, to stop."""
        if self.why_stopped is not None:
            return
        if self._asked():
            self.why_stopped, self.kind = "stopped by `stop`", "stopped"
        else:
            self.why_stopped = self._over(limits)
        if self.why_stopped:
            self.job.cancel()

    def _asked(self) -> bool:
        """Looked for twice a second."""
        now = time.monotonic()
        if now - self._asked_at < EVENTS_SECONDS:
            return False
        self._asked_at = now
        return self.rundir.take_request_to_stop()

    def _over(self, limits: Limits) -> str | None:
        now = time.monotonic()
        if limits.time_limit and now - self._started > limits.time_limit:
            return f"stopped after {limits.time_limit:g} seconds (launch: time_limit)"
        if limits.timeout and self._silence(now, min(LIFE_SECONDS, limits.timeout / 4)) > limits.timeout:
            return f"stopped: no epoch ended and no processor time was used for {limits.timeout:g} s (launch: timeout)"
        return None

    def _silence(self, now: float, interval: float) -> float:
        """Seconds since the last sign of life."""
        if now - self._felt >= interval:
            self._felt = now
            cpu = self.job.cpu_seconds()
            if cpu is None or cpu - self._cpu > IDLE * (now - self._alive):
                self._alive, self._cpu = now, cpu or 0.0
        return now - self._alive

    def outcome(self, state: JobState | None) -> Result | Failure:
        """What an ended attempt left; ``state`` is what its launcher knows."""
        try:
            if result := self.rundir.read_result():
                return result if result.run_id == self.run.run_id else self._foreign(result)
            if self.why_stopped:
                return self._failure(self.kind, self.why_stopped)
            if failure := self.rundir.read_failure():
                return failure
        except BrokenFile as error:
            return Failure("error", str(error), time=time.time())
        known = state.failure if state else None
        return self._failure(known.kind, known.message) if known else self._failure("error", "ended without a result")

    def _foreign(self, result: Result) -> Failure:
        path = self.rundir.path / "result.json"
        return self._failure("error", f"{path}: the result of run {result.run_id}, not of {self.run.run_id}")

    def _failure(self, kind: FailureKind, message: str) -> Failure:
        return Failure(kind, message, self.rundir.log_tail(self.attempt), time=time.time())


@dataclass(frozen=True)
class Gone:
    """The job of an attempt that ended while nobody watched, or never started."""

    failure: Failure | None = None

    def poll(self) -> JobState:
        return JobState("ended", self.failure)

    def cancel(self) -> None:
        return

    def cpu_seconds(self) -> float | None:
        return None


def has_outcome(rundir: RunDir) -> bool:
    """A result, or a failure that is the run's own: a job that was told to stop is unfinished."""
    try:
        failure = rundir.read_failure()
        return bool(rundir.read_result()) or (failure is not None and failure.kind != "stopped")
    except BrokenFile:
        return False


def read_profile(rundir: RunDir) -> Mapping[str, float | None]:
    """The speed measured for a run; a result stands without it."""
    try:
        return rundir.read_profile()
    except BrokenFile:
        return {}
