"""How far a sweep is: what runs, what is done, how many seconds are left.

State without a screen: it is fed with events, and whoever asks says what time it is (Unix seconds).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from statistics import fmean, median

from benchmark.metric_names import sign_of
from benchmark.publishing import Published
from benchmark.records import Event, Result
from benchmark.run import Run
from benchmark.sweep_events import Ended, EpochDone, Measuring, Paused, Started, Stopping, SweepEvent

Expected = Callable[[Run], float | None]
RECENT = 5
"""An epoch's seconds are the median of so many."""
SLACK = 1.0
"""Seconds by which an epoch may seem to end before the attempt that it belongs to."""
FORECAST_SECONDS = 5.0
"""The waiting runs are forecast anew at most so often."""


@dataclass
class Running:
    """A run under way.  ``epochs`` are those of all attempts, ``started`` is when this attempt began, ``expected`` the
    forecast seconds of the whole run."""

    name: str
    planned: int
    bound: bool
    expected: float | None
    started: float
    epochs: dict[int, Event] = field(default_factory=dict)

    @property
    def last(self) -> Event | None:
        return next(reversed(self.epochs.values()), None)

    @property
    def share(self) -> float:
        """How much of the run is done, from 0 to 1."""
        return min(1.0, self.last.epoch / self.planned) if self.last else 0.0

    def is_old(self, event: Event) -> bool:
        """Whether the epoch ended in an earlier attempt and is only read again."""
        return event.time < self.started - SLACK

    def values(self, name: str) -> list[float | None]:
        """A metric of each epoch so far."""
        return [event.metrics.get(name) for event in self.epochs.values()]

    def seconds_left(self, now: float) -> float | None:
        """By the run's own epochs once it has some, else by the forecast, as long as that holds; ``None`` where nothing
        is known."""
        recent = [*reversed([*islice(reversed(self.epochs.values()), RECENT + 1)])]
        pace = epoch_seconds(recent, self.started - SLACK)
        if pace is None or self.last is None:
            left = (self.expected or 0.0) - (now - self.started)
            return left if left > 0 else None
        elapsed = max(0.0, now - max(self.last.time, self.started))
        return max(0.0, pace * (self.planned - self.last.epoch) - min(elapsed, pace))


@dataclass
class Progress:
    """A sweep of ``total`` runs, ``workers`` at a time, that began at ``started``."""

    names: Mapping[str, str]
    primary: str
    total: int
    started: float
    todo: Sequence[Run] = ()
    workers: int = 1
    expected: Expected = lambda run: None
    done: int = 0
    failed: int = 0
    pruned: int = 0
    """Stopped by a search."""
    running: dict[str, Running] = field(default_factory=dict)
    best: tuple[float, str] | None = None
    """The best value of the primary metric in this sweep, and the name of its run."""
    measuring: Measuring | None = None
    stopping: bool = False
    metric: str | None = None
    """What the view shows of each epoch, known from the first one on."""

    def __post_init__(self) -> None:
        self._waiting = {run.run_id: run for run in self.todo}
        self._took: list[float] = []
        self._forecast(self.started)

    @property
    def ended(self) -> int:
        return self.done + self.failed + self.pruned

    @property
    def left(self) -> int:
        return max(0, self.total - self.ended)

    @property
    def share(self) -> float:
        """How much of the sweep is done, from 0 to 1; epochs of runs under way count."""
        return min(1.0, (self.ended + sum(each.share for each in self.running.values())) / max(1, self.total))

    def apply(self, event: SweepEvent, now: float) -> None:
        """Takes note of an event."""
        if isinstance(event, Started):
            self._start(event, now)
        elif isinstance(event, EpochDone):
            self._epoch(event)
        elif isinstance(event, Ended):
            self._end(event, now)
        elif isinstance(event, Paused):
            self.running.pop(event.run.run_id, None)
            self._waiting[event.run.run_id] = event.run
            self._forecasts[event.run.run_id] = self.expected(event.run)
        elif isinstance(event, Measuring | Published):  # While speed is measured nothing is published.
            self.measuring = event if isinstance(event, Measuring) else None
        elif isinstance(event, Stopping):
            self._stop(event)

    def is_old(self, event: EpochDone) -> bool:
        """Whether the epoch is of an earlier attempt, read again when the run goes on."""
        running = self.running.get(event.run.run_id)
        return running is not None and running.is_old(event.event)

    def seconds_left(self, now: float) -> float | None:
        """Until the last run ends; ``None`` where nothing is known.  A run about which nothing is known takes as long
        as the mean of the others.  Of runs that share jobs more are submitted than work at a time: beyond these, who
        has no epoch yet waits for its turn."""
        waiting = [] if self.stopping else [self._forecasts[run_id] for run_id in self._waiting]
        if not self.stopping and len(waiting) + len(self.running) < self.left:
            return None
        submitted = sorted(self.running.values(), key=lambda each: each.last is None)
        queued = [each for each in submitted[self.workers :] if each.last is None]
        active = [(now - each.started, each.seconds_left(now)) for each in submitted[: len(submitted) - len(queued)]]
        waiting = [*(each.expected for each in queued), *waiting]
        known = [each for each in waiting if each is not None] + self._took
        known += [elapsed + left for elapsed, left in active if left is not None]
        if not known:
            return None
        mean = fmean(known)
        busy = [max(0.0, mean - elapsed) if left is None else left for elapsed, left in active]
        return makespan(busy, [mean if each is None else each for each in waiting], self.workers)

    def _start(self, event: Started, now: float) -> None:
        run, run_id = event.run, event.run.run_id
        self._waiting.pop(run_id, None)
        self.measuring = None
        bound = run.early_stopping is not None
        self.running[run_id] = Running(self.names[run_id], run.epochs, bound, self.expected(run), now)

    def _epoch(self, event: EpochDone) -> None:
        self.metric = self.metric or watched(self.primary, event.event.metrics)
        if running := self.running.get(event.run.run_id):
            running.epochs[event.event.epoch] = event.event

    def _end(self, event: Ended, now: float) -> None:
        run_id = event.run.run_id
        shared = len(self.running) > self.workers  # then it may have waited for its turn in a job
        running = self.running.pop(run_id, None)
        if event.retry:
            self._waiting[run_id] = event.run
            self._forecasts[run_id] = self.expected(event.run)
            return
        self._waiting.pop(run_id, None)
        if isinstance(event.outcome, Result):
            self.done += 1
            own = event.outcome.finished - event.outcome.started
            self._took += [own if shared else now - running.started] if running else []
            self._consider(event.outcome, self.names[run_id])
        elif event.outcome.kind == "pruned":
            self.pruned += 1
        else:
            self.failed += 1
        if now - self._forecast_at >= FORECAST_SECONDS:
            self._forecast(now)

    def _stop(self, event: Stopping) -> None:
        self.stopping = True
        if event.how in {"kill", "time", "leave"}:
            self.running.clear()  # They end without another word.

    def _consider(self, result: Result, name: str) -> None:
        value = result.metrics.get(self.primary)
        if value is None:
            return
        sign = sign_of(self.primary)
        if self.best is None or sign * value > sign * self.best[0]:
            self.best = (value, name)

    def _forecast(self, now: float) -> None:
        self._forecasts = {run_id: self.expected(run) for run_id, run in self._waiting.items()}
        self._forecast_at = now


def watched(primary: str, metrics: Mapping[str, float | None]) -> str:
    """What an epoch shows of the primary metric: its twin on the validation images, else their accuracy."""
    section, _, rest = primary.partition("/")
    name = f"val/{rest}" if section == "test" else primary
    return name if name in metrics and section in {"test", "val", "train"} else "val/accuracy"


def epoch_seconds(events: Sequence[Event], since: float) -> float | None:
    """Seconds of one epoch: the median of those that began and ended after ``since``.

    Where there are none, the mean training seconds of all epochs so far: they leave out validation, but also the time
    between two attempts, in which nothing ran.
    """
    took = [(b.time - a.time) / (b.epoch - a.epoch) for a, b in pairwise(events) if a.time >= since]
    if known := [each for each in took if each > 0]:
        return median(known)
    trained = events[-1].metrics.get("cost/train_seconds") if events else None
    return trained / events[-1].epoch if trained and math.isfinite(trained) else None


def makespan(busy: Sequence[float], waiting: Sequence[float], workers: int) -> float:
    """Seconds until the last run ends, when each waiting run starts, in the order given, on the worker that is free
    first.  ``busy`` are the seconds left of what runs; that may be more than there are workers."""
    free = sorted([*busy, *[0.0] * (workers - len(busy))])[-workers:]
    last = max(busy, default=0.0)
    for seconds in waiting:
        end = free[0] + seconds
        heapq.heapreplace(free, end)
        last = max(last, end)
    return last
