"""The sweep: plan -> launch -> watch -> collect -> publish.  Yields events and prints nothing.

It is crash-only: whatever is killed, at whatever moment, the next sweep over the same directory reads the run
directories and goes on; no result is lost and none is counted twice.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmark.journal import Journal
from benchmark.publishing import Published, Publishing, Request, Trouble
from benchmark.run import Run
from benchmark.rundir import BrokenFile, Event, Failure, FailureKind, Result, RunDir
from launch import Job, JobState, Launcher

RETRIED: frozenset[FailureKind] = frozenset({"killed", "timeout", "infrastructure"})
POLL_SECONDS = 0.05
EVENTS_SECONDS = 0.5


@dataclass(frozen=True)
class Started:
    """An attempt began, or, with ``adopted``, one was found that an earlier sweep had begun."""

    run: Run
    attempt: int
    adopted: bool


@dataclass(frozen=True)
class EpochDone:
    """A run ended an epoch."""

    run: Run
    event: Event


@dataclass(frozen=True)
class Ended:
    """An attempt ended; with ``retry`` the run is tried again."""

    run: Run
    outcome: Result | Failure
    retry: bool
    log: Path


@dataclass(frozen=True)
class Stopping:
    """Nothing more is started.  After Ctrl-C ``drain`` waits for what runs, ``kill`` does not; ``disk``: it is full."""

    how: Literal["drain", "kill", "disk"]
    running: int


@dataclass(frozen=True)
class Measuring:
    """The speed of a model is measured, the ``number``-th of ``total``; nothing trains meanwhile."""

    run: Run
    number: int
    total: int


@dataclass(frozen=True)
class Notice:
    """Something happened that the user should know, and that changes no result."""

    message: str


SweepEvent = Started | EpochDone | Ended | Stopping | Measuring | Notice | Published | Trouble


@dataclass
class Interrupt:
    """How often the user asked to stop; raised by the signal handler, read by the sweep."""

    requests: int = 0


@dataclass(frozen=True)
class Settings:
    """How many runs at once, how long one may take (seconds), how often one is retried."""

    workers: int
    timeout: float | None = None
    retries: int = 2


@dataclass
class Active:
    """An attempt under way."""

    run: Run
    rundir: RunDir
    attempt: int
    job: Job
    started: float = field(default_factory=time.monotonic)
    looked: float = 0.0
    epochs: int = 0
    timed_out: bool = False


class Sweep:
    """Runs ``todo`` through ``launcher``, under :func:`benchmark.lock.exclusive`.

    Args:
        planned: every run of the current plan, in order; those not in ``todo`` are only published where MLflow
            does not have them yet.
        todo: the runs to start.
        data: run -> directory of its decoded images.
        names: run id -> what people call it.
    """

    def __init__(
        self,
        planned: Sequence[Run],
        todo: Sequence[Run],
        journal: Journal,
        launcher: Launcher,
        publishing: Publishing,
        data: Callable[[Run], Path],
        names: Mapping[str, str],
        settings: Settings,
        interrupt: Interrupt,
    ) -> None:
        self._journal, self._launcher, self._publishing, self._data = journal, launcher, publishing, data
        self._names, self._settings, self._interrupt = names, settings, interrupt
        self._waiting = deque(todo)
        self._active: list[Active] = []
        self._failures: Counter[str] = Counter()
        self._told: int = 0
        journal.plan(planned)
        self._known = journal.outcomes()
        self._publications = journal.publications()
        self._planned = tuple(planned)

    def events(self) -> Iterator[SweepEvent]:
        """Works until nothing is left or the user stopped it."""
        yield from self._recover()
        self._publish_the_rest()
        while self._active or (self._waiting and not self._interrupt.requests):
            yield from self._stop_if_asked()
            yield from self._start()
            yield from self._watch()
            yield from self._hear()
            time.sleep(POLL_SECONDS)

    def finish(self, timeout: float) -> Iterator[SweepEvent]:
        """Lets the publisher end its work, for at most ``timeout`` seconds, or until the user asks again to stop."""
        deadline, asked = time.monotonic() + timeout, self._interrupt.requests
        while not self._publishing.close(0.2) and time.monotonic() < deadline and self._interrupt.requests == asked:
            yield from self._hear()
        yield from self._hear()

    def _recover(self) -> Iterator[SweepEvent]:
        """What an earlier sweep left: results not yet recorded, attempts that still live, attempts cut off."""
        for run in list(self._waiting):
            rundir, attempt = self._journal.rundir(run), self._journal.open_attempt(run)
            last = attempt or max(1, rundir.last_attempt)
            if job := self._launcher.adopt(run, rundir, last):
                self._waiting.remove(run)
                self._active.append(Active(run, rundir, last, job))
                yield Started(run, last, adopted=True)
            elif run.run_id not in self._known and _has_outcome(rundir):
                self._waiting.remove(run)
                yield self._collect(Active(run, rundir, last, _Gone()), None)
            elif attempt is not None:
                self._journal.end(run, attempt, None)

    def _publish_the_rest(self) -> None:
        done = self._journal.outcomes()
        for run in self._planned:
            if run.run_id in done and not self._publications[run.run_id].committed:
                self._notify(run)

    def _start(self) -> Iterator[SweepEvent]:
        while self._waiting and len(self._active) < self._settings.workers and not self._interrupt.requests:
            run = self._waiting.popleft()
            rundir = self._journal.rundir(run)
            rundir.path.mkdir(parents=True, exist_ok=True)
            if run.run_id in self._known:
                rundir.clear_epochs()
            rundir.clear_outcome()
            rundir.write_run(run)
            attempt = self._journal.begin(run)
            self._active.append(Active(run, rundir, attempt, self._submit(run, rundir, attempt)))
            self._notify(run)
            yield Started(run, attempt, adopted=False)

    def _submit(self, run: Run, rundir: RunDir, attempt: int) -> Job:
        try:
            return self._launcher.submit(run, rundir, attempt, self._data(run))
        except OSError as error:
            return _Gone(Failure("infrastructure", f"the job could not be started: {error}", time=time.time()))

    def _watch(self) -> Iterator[SweepEvent]:
        for active in list(self._active):
            state = active.job.poll()
            yield from self._new_epochs(active, last_look=state.status == "ended")
            if state.status == "ended":
                self._active.remove(active)
                if not self._was_told_to_stop(active):
                    yield self._collect(active, state)
            elif self._settings.timeout and time.monotonic() - active.started > self._settings.timeout:
                active.timed_out = True
                active.job.cancel()

    def _was_told_to_stop(self, active: Active) -> bool:
        """Whether a TERM to the whole machine reached the job before us: the run is unfinished, not failed."""
        return self._interrupt.requests > 1 and not active.timed_out and not _has_outcome(active.rundir)

    def _new_epochs(self, active: Active, last_look: bool) -> Iterator[SweepEvent]:
        now = time.monotonic()
        if not last_look and now - active.looked < EVENTS_SECONDS:
            return
        active.looked = now
        try:
            events = active.rundir.read_events()
        except BrokenFile:
            return  # The result, if there is one, stands by itself.
        for event in events[active.epochs :]:
            yield EpochDone(active.run, event)
        if len(events) > active.epochs:
            active.epochs = len(events)
            self._notify(active.run)

    def _collect(self, active: Active, state: JobState | None) -> SweepEvent:
        """Reads what an ended attempt left and enters it in the journal, or has the run tried again."""
        outcome = _outcome(active, state, self._settings.timeout)
        failure = outcome if isinstance(outcome, Failure) else None
        retry = failure is not None and failure.kind in RETRIED and self._may_retry(active.run)
        self._journal.end(active.run, active.attempt, failure)
        if retry:
            self._waiting.append(active.run)
        else:
            if failure is not None:
                active.rundir.write_failure(failure)
            self._journal.record(active.run, outcome, _profile(active.rundir))
            self._notify(active.run)
        return Ended(active.run, outcome, retry, active.rundir.log_path(active.attempt))

    def _may_retry(self, run: Run) -> bool:
        self._failures[run.run_id] += 1
        return self._failures[run.run_id] <= self._settings.retries

    def _stop_if_asked(self) -> Iterator[SweepEvent]:
        requests = self._interrupt.requests
        if requests > self._told:
            yield Stopping("drain" if requests == 1 else "kill", len(self._active))
        self._told = requests
        if requests > 1:
            for active in self._active:
                active.job.cancel()
                active.rundir.clear_failure()
            self._active.clear()

    def _hear(self) -> Iterator[SweepEvent]:
        for reply in self._publishing.replies():
            if isinstance(reply, Published):
                self._journal.published(reply.run.run_id, reply.mlflow_run_id, reply.commit)
            yield reply

    def _notify(self, run: Run) -> None:
        known = self._publications[run.run_id]
        rundir, name, started = self._journal.rundir(run), self._names[run.run_id], self._journal.started(run)
        self._publishing.notify(Request(run, rundir, known.uuid, known.mlflow_run_id, name, started))


@dataclass(frozen=True)
class _Gone:
    """The job of an attempt that ended while nobody watched, or never started."""

    failure: Failure | None = None

    def poll(self) -> JobState:
        return JobState("ended", self.failure)

    def cancel(self) -> None:
        return


def _has_outcome(rundir: RunDir) -> bool:
    """A result, or a failure that is the run's own: a job that was told to stop is unfinished."""
    try:
        failure = rundir.read_failure()
        return bool(rundir.read_result()) or (failure is not None and failure.kind != "stopped")
    except BrokenFile:
        return False


def _profile(rundir: RunDir) -> Mapping[str, float | None]:
    try:
        return rundir.read_profile()
    except BrokenFile:
        return {}  # The result stands without it.


def _outcome(active: Active, state: JobState | None, timeout: float | None) -> Result | Failure:
    try:
        if result := active.rundir.read_result():
            return result
        if active.timed_out:
            return Failure("timeout", f"stopped after {timeout:g} seconds", time=time.time())
        if failure := active.rundir.read_failure():
            return failure
    except BrokenFile as error:
        return Failure("error", str(error), time=time.time())
    known = state.failure if state else None
    tail = active.rundir.log_tail(active.attempt)
    kind, message = (known.kind, known.message) if known else ("error", "ended without a result")
    return Failure(kind, message, tail, time=time.time())
