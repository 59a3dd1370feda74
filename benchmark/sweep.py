"""The sweep: plan -> launch -> watch -> collect -> publish.  Yields events and prints nothing.

It is crash-only: whatever is killed, at whatever moment, the next sweep over the same directory reads the run
directories and goes on; no result is lost and none is counted twice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

from benchmark import room
from benchmark.attempt import Active, Gone, has_outcome
from benchmark.books import Books
from benchmark.failpoints import reach
from benchmark.halving import Decision
from benchmark.measuring import Measurement
from benchmark.publishing import Published, Trouble
from benchmark.records import Failure, FailureKind
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.searching import Searching
from benchmark.site import Interrupt, Settings, Site
from benchmark.sweep_events import Ended, EpochDone, Measuring, Notice, Paused, Started, Stopping, SweepEvent
from benchmark.waiting import Waiting
from launch import Job, JobState

__all__ = [
    "Ended", "EpochDone", "Interrupt", "Measuring", "Notice", "Published", "Settings", "Site", "Started", "Stopping",
    "Sweep", "SweepEvent", "Trouble",
]  # fmt: skip

RETRIED: frozenset[FailureKind] = frozenset({"killed", "timeout", "infrastructure"})
POLL_SECONDS = 0.05
COUNT_SECONDS = 2.0
"""Between two looks how many runs are to be under way, where that changes."""
LEAST_SECONDS, RUN_SECONDS, MOST_SECONDS = 5.0, 1.0, 30.0
"""So long, by the number of runs, the measuring of speed waits for MLflow to have what is done so far: publishing to a
file needs the processor; where it waits for a slow server, it disturbs nothing."""


class Sweep:
    """Runs ``todo``, under :func:`benchmark.lock.exclusive`.

    Args:
        planned: every run of the current plan, in order; those not in ``todo`` are only published where MLflow
            does not have them yet.
        todo: the runs to start.
    """

    def __init__(
        self, planned: Sequence[Run], todo: Sequence[Run], site: Site, settings: Settings, interrupt: Interrupt
    ) -> None:
        self._site, self._settings, self._interrupt = site, settings, interrupt
        self._journal = site.journal
        self._waiting = Waiting(todo, site.forecast, settings.memory)
        self._active: list[Active] = []
        self._failures: Counter[str] = Counter()
        self._workers, self._counted = settings.workers, time.monotonic()
        self._told: int = 0
        self._late = self._cancelled = self._left = self._spent = False
        self._deadline = None if settings.most_seconds is None else time.monotonic() + settings.most_seconds
        self._journal.plan(planned)
        self._known = self._journal.outcomes()
        self._books = Books(site, planned, self._known)
        self._planned = tuple(planned)
        self.resumed = False
        """Whether a run was adopted, tried again, or went on from a checkpoint: what it took says little."""
        self.full: str | None = None
        """What to tell when the disk is full and nothing more is started."""
        self._search = site.search or Searching(None)

    def events(self) -> Iterator[SweepEvent]:
        """Works until nothing is left or the user stopped it."""
        decision = self._search.begin(self._planned, self._waiting, self._known, self._journal)
        yield from self._recover()
        yield from self._go_by_the_search(decision)
        self._books.take_bills()
        self._books.publish_the_rest()
        while self._active or (self._waiting and not self.stopped):
            yield from self._stop_if_asked()
            if self._left:
                return
            yield from self._start()
            yield from self._watch()
            yield from self._books.hear()
            self._site.launcher.wait(POLL_SECONDS)
        yield from self._measure()

    def finish(self, timeout: float) -> Iterator[SweepEvent]:
        """Lets the publisher end its work, for at most ``timeout`` seconds, or until the user asks again to stop."""
        deadline, asked = time.monotonic() + timeout, self._interrupt.requests
        while (
            not self._site.publishing.close(0.2) and time.monotonic() < deadline and self._interrupt.requests == asked
        ):
            yield from self._books.hear()
        yield from self._books.hear()

    @property
    def stopped(self) -> bool:
        """Whether no further run is started, for whatever reason."""
        return bool(self._interrupt.requests or self.full or self._late or self._spent)

    @property
    def _killing(self) -> bool:
        """Whether what runs is not waited for."""
        requests, choice = self._interrupt.requests, self._interrupt.choice
        asked = choice == "stop" and requests > 0 if self._site.launcher.remote else requests > 1
        return asked or self._late

    def _recover(self) -> Iterator[SweepEvent]:
        """What an earlier sweep left: results not yet recorded, attempts that still live, attempts cut off."""
        for run in self._waiting:
            rundir, attempt = self._journal.rundir(run), self._journal.open_attempt(run)
            last = attempt or max(1, rundir.last_attempt)
            if job := self._site.launcher.adopt(run, rundir, last):
                self._waiting.remove(run)
                self._active.append(Active(run, rundir, last, job))
                self.resumed = True
                yield Started(run, last, adopted=True)
            elif run.run_id not in self._known and has_outcome(rundir):
                self._waiting.remove(run)
                yield from self._collect(Active(run, rundir, last, Gone()), None)
            elif attempt is not None:
                self._journal.end(run, attempt, None)

    def _count_workers(self) -> None:
        if self._settings.growing and time.monotonic() - self._counted >= COUNT_SECONDS:
            self._workers, self._counted = self._settings.growing(), time.monotonic()

    def _start(self) -> Iterator[SweepEvent]:
        self._count_workers()
        while self._waiting and len(self._active) < self._workers and not self.stopped:
            run = self._waiting.take([each.run for each in self._active], self._site.launcher.fits)
            if run is None:
                return
            if not self._site.budget.allows(run, [each.run for each in self._active]):
                yield from self._run_out_of_money(run)
                return
            self.full = room.shortage(self._journal.directory, self._site.forecast.disk(run))
            if self.full:
                self._waiting.put(run)
                yield Stopping("disk", len(self._active))
                return
            yield self._begin(run)

    def _begin(self, run: Run) -> SweepEvent:
        rundir = self._journal.rundir(run)
        rundir.path.mkdir(parents=True, exist_ok=True)
        if self._known.pop(run.run_id, None):  # the first attempt only: a retry goes on from its checkpoint
            rundir.clear_epochs()
        rundir.clear_outcome()
        rundir.take_request_to_stop()  # it was for an earlier attempt
        rundir.write_run(run)
        rundir.write_owner(self._journal.directory.name, self._books.uuid(run))
        attempt = self._journal.begin(run)
        self.resumed |= attempt > 1
        reach("sweep.intended")
        until = self._search.until(run)
        tasks = self._site.tasks if until is None else self._site.tasks.replace("train", f"train@{until}")
        self._active.append(Active(run, rundir, attempt, self._submit(run, rundir, attempt, tasks)))
        reach("sweep.started")
        self._books.notify(run)
        return Started(run, attempt, adopted=False, promoted=self._search.has_promoted(run))

    def _submit(self, run: Run, rundir: RunDir, attempt: int, tasks: str) -> Job:
        try:
            return self._site.launcher.submit(run, rundir, attempt, self._site.data(run), tasks)
        except OSError as error:
            return Gone(Failure("infrastructure", f"the job could not be started: {error}", time=time.time()))

    def _watch(self) -> Iterator[SweepEvent]:
        ended = [(each, state) for each in self._active if (state := each.job.poll()).status == "ended"]
        for active, _ in ended:
            self._active.remove(active)
            self._site.budget.costs(active.rundir)  # spent before a next one may start
        for active in self._active:
            active.enforce(self._settings.limits)
            if events := active.new_events():
                yield from (EpochDone(active.run, event) for event in events)
                self._books.notify(active.run)
        started = list(self._start()) if ended else []  # a free worker does not wait for the books
        for active, state in ended:
            yield from (EpochDone(active.run, event) for event in active.new_events(last_look=True))
            yield from self._collect(active, state)
        if ended:
            self._books.take_bills()
        yield from started

    def _collect(self, active: Active, state: JobState | None) -> Iterator[SweepEvent]:
        """Reads what an ended attempt left and enters it in the journal, or has the run tried again."""
        if self._was_told_to_stop(active):
            active.rundir.clear_failure()
            self._journal.end(active.run, active.attempt, None)
            return
        reach("sweep.ended")
        outcome = active.outcome(state)
        if isinstance(outcome, Failure) and outcome.kind == "paused":
            active.rundir.clear_failure()
            self._journal.end(active.run, active.attempt, None)
            self._books.notify(active.run)
            yield Paused(active.run, active.epochs)
            yield from self._go_by_the_search(self._search.hear(active.run, active.rundir, ended=False))
            return
        failure = outcome if isinstance(outcome, Failure) else None
        self._journal.end(active.run, active.attempt, failure)
        costs = self._site.budget.costs(active.rundir)
        again = state.again if state is not None and active.why_stopped is None else None
        if failure is not None and again is not None:
            self._waiting.put(active.run, later=again)
            yield Ended(active.run, failure, True, active.rundir.log_path(active.attempt))
            return
        if failure is not None and room.is_full(failure):
            yield from self._run_out_of_disk(active, failure)
            return
        retry = failure is not None and failure.kind in RETRIED and self._may_retry(active.run)
        if retry:
            self._waiting.put(active.run)
        else:
            self._books.record(active, outcome, costs)
        yield Ended(active.run, outcome, retry, active.rundir.log_path(active.attempt))
        if not retry:
            heard = self._search.hear(active.run, active.rundir, ended=failure is None, lost=failure is not None)
            yield from self._go_by_the_search(heard)

    def _go_by_the_search(self, decision: Decision) -> Iterator[SweepEvent]:
        """Lets go on what goes on; what does not is recorded as pruned, and its checkpoints are removed."""
        there = {each.run_id for each in (*self._waiting, *(active.run for active in self._active))}
        for run in filter(self._search.is_ours, decision.promoted):
            if run.run_id not in there:
                self._waiting.put(run)
        for group in decision.pruned:
            for run in filter(self._search.is_ours, group.runs):
                if run.run_id in there:
                    self._waiting.remove(run)
                active = Active(run, self._journal.rundir(run), self._journal.rundir(run).last_attempt, Gone())
                failure = Failure("pruned", group.why, time=time.time())
                self._books.record(active, failure, self._site.budget.costs(active.rundir))
                yield Ended(run, failure, False, active.rundir.log_path(max(1, active.attempt)))

    def _was_told_to_stop(self, active: Active) -> bool:
        """Whether we, or a TERM to the whole machine, stopped the job: the run is unfinished, not failed."""
        return self._killing and active.why_stopped is None and not has_outcome(active.rundir)

    def _run_out_of_disk(self, active: Active, failure: Failure) -> Iterator[SweepEvent]:
        """The run is unfinished, not failed: it goes on when there is room."""
        active.rundir.clear_failure()
        self._waiting.put(active.run)
        yield Ended(active.run, failure, True, active.rundir.log_path(active.attempt))
        if self.full is None:
            self.full = f"{failure.message}: free some space and run again"
            yield Stopping("disk", len(self._active))

    def _run_out_of_money(self, run: Run) -> Iterator[SweepEvent]:
        """What runs may turn out cheaper than expected; after it there is no hope."""
        self._waiting.put(run)
        if not self._active:
            self._spent = True
            yield Stopping("budget", 0)

    def _may_retry(self, run: Run) -> bool:
        self._failures[run.run_id] += 1
        return self._failures[run.run_id] <= self._settings.retries

    def _stop_if_asked(self) -> Iterator[SweepEvent]:
        requests = self._interrupt.requests
        if requests > self._told:
            first, self._told = not self._told, requests
            if self._site.launcher.remote:
                yield from self._leave_or_stop(ask=first and requests == 1)
            else:
                yield Stopping("drain" if requests == 1 else "kill", len(self._active))
        if self._deadline is not None and not self._late and time.monotonic() > self._deadline:
            self._late = True
            yield Stopping("time", len(self._active))
        if self._killing and not self._cancelled:
            self._cancelled = True
            for active in self._active:
                active.job.cancel()

    def _leave_or_stop(self, *, ask: bool) -> Iterator[SweepEvent]:
        """Jobs that run elsewhere go on without us, unless the user says otherwise; who asks again need not wait for
        the end of those that are being stopped."""
        if ask and self._active and self._interrupt.choice is None:
            yield Stopping("ask", len(self._active))
        self._left = self._interrupt.choice != "stop" or self._cancelled
        yield Stopping("leave" if self._left else "kill", len(self._active))

    def _measure(self) -> Iterator[SweepEvent]:
        """The speed of what has a result and no speed yet, when nothing trains and MLflow has everything."""
        if self._site.profiles is None or self.stopped:
            return
        found = self._journal.outcomes()
        runs = [run for run in self._planned if (each := found.get(run.run_id)) and each.result and not each.measured]
        measurement = Measurement(
            self._site.profiles,
            lambda run, rundir, attempt: self._submit(run, rundir, attempt, "profile"),
            self._site.names,
            self._settings.limits,
            lambda: self.stopped,
        )
        if unknown := measurement.unknown(runs):
            yield from self._wait_for_publishing()
            yield from measurement.events(unknown)
        for run in runs:
            if profile := self._books.take_profile(run):
                self._journal.record_profile(run, profile)
                self._books.notify(run)

    def _wait_for_publishing(self) -> Iterator[SweepEvent]:
        seconds = min(MOST_SECONDS, max(LEAST_SECONDS, RUN_SECONDS * len(self._planned)))
        deadline = time.monotonic() + seconds
        while not self._site.publishing.idle and time.monotonic() < deadline and not self.stopped:
            yield from self._books.hear()
            time.sleep(POLL_SECONDS)
