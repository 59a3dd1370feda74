"""How a sweep looks while it runs: plain lines without a terminal; with one, below the lines that stay, what runs now.

Of many runs, those that start or succeed leave no line: they are counted.  Part of the command line: it prints.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from benchmark.progress import Expected, Progress
from benchmark.publishing import Trouble
from benchmark.records import Failure, Result
from benchmark.run import Run
from benchmark.sweep_events import Ended, EpochDone, Measuring, Notice, Paused, Started, SweepEvent
from benchmark.view import View
from benchmark.words import Narrator, progress_line

STEPS = 20
"""Without a terminal, a sweep of many runs says so often how far it is,"""
SPACED_SECONDS = 30.0
"""but not more often than this,"""
SILENT_SECONDS = 300.0
"""and once in this time even if nothing has ended."""


class Terminal(AbstractContextManager["Terminal"], Protocol):
    """Where events are shown."""

    def show(self, event: SweepEvent) -> None: ...

    def paused(self) -> AbstractContextManager[None]:
        """The terminal is somebody else's within the block."""
        ...


def choose(
    narrator: Narrator,
    say: Callable[[str], None],
    stderr: bool,
    *,
    todo: Sequence[Run] = (),
    workers: int = 1,
    expected: Expected = lambda run: None,
) -> Terminal:
    """A live view where the lines go to a terminal that can move its cursor, else plain lines.

    Args:
        stderr: whether people's lines go to standard error.
        todo: the runs of this sweep, in the order in which they start.
        workers: how many run at once.
        expected: seconds that a run will take, or ``None``.
    """
    stream = sys.stderr if stderr else sys.stdout
    progress = Progress(narrator.names, narrator.primary, narrator.total, time.time(), todo, workers, expected)
    console = Console(file=stream, highlight=False)
    if stream.isatty() and console.is_interactive:
        return Animated(narrator, console, progress)
    return Plain(narrator, say, progress)


@dataclass
class Plain:
    """One line an event; of many runs only failures, and now and then how far the sweep is."""

    narrator: Narrator
    say: Callable[[str], None]
    progress: Progress
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self._step, self._told = 0, self.progress.started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, event: SweepEvent) -> None:
        now = self.clock()
        self.progress.apply(event, now)
        old = isinstance(event, EpochDone) and self.progress.is_old(event)
        line = None if old else self.narrator.line(event)
        if line and not (self.narrator.many and _is_routine(event)):
            self.say(line)
        if self.narrator.many and self._is_time(now):
            self._tell(now)

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _is_time(self, now: float) -> bool:
        silent, step = now - self._told, self.progress.ended * STEPS // self.progress.total
        return self.progress.left > 0 and silent >= (SPACED_SECONDS if step > self._step else SILENT_SECONDS)

    def _tell(self, now: float) -> None:
        progress = self.progress
        self._step, self._told = progress.ended * STEPS // progress.total, now
        self.say(progress_line(progress.done, progress.failed, progress.left, progress.seconds_left(now)))


class Animated:
    """Failures and troubles, and of few runs also successes, as lines that stay; below them the :class:`View`."""

    def __init__(
        self, narrator: Narrator, console: Console, progress: Progress, clock: Callable[[], float] = time.time
    ) -> None:
        self._narrator, self._console, self._progress, self._clock = narrator, console, progress, clock
        self._view = View(progress)
        self._lock = threading.Lock()  # The view is drawn by a thread; never held while printing.
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, event: SweepEvent) -> None:
        with self._lock:
            self._progress.apply(event, self._clock())
        if isinstance(event, Started | EpochDone | Measuring):
            return  # The view shows them.
        line = self._narrator.line(event)
        if line and not (self._narrator.many and _is_routine(event)):
            # Long lines are left to the terminal, so that a path can be copied whole.
            self._console.print(Text(line, _style(event)), soft_wrap=True)

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def refresh(self) -> None:
        """Draws now what is otherwise drawn twice a second."""
        self._live.refresh()

    def _draw(self) -> Group:
        size = self._console.size
        with self._lock:
            lines = self._view.lines(size.width, size.height, self._clock())
        return Group(*lines)


def _is_routine(event: SweepEvent) -> bool:
    """What leaves no line in a sweep of many runs."""
    if isinstance(event, Measuring):
        return event.number > 1
    ended = isinstance(event, Ended) and (isinstance(event.outcome, Result) or event.outcome.kind == "pruned")
    return ended or isinstance(event, Started | EpochDone | Paused)


def _style(event: SweepEvent) -> str:
    if isinstance(event, Ended) and isinstance(event.outcome, Failure) and event.outcome.kind != "pruned":
        return "yellow" if event.retry else "red"
    return "yellow" if isinstance(event, Notice | Trouble) else ""
