"""How a sweep looks while it runs: plain lines without a terminal, with one a table of the runs under way below them.

Part of the command line: it prints.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from benchmark.run import Run
from benchmark.rundir import Event
from benchmark.sweep import Ended, EpochDone, Started, SweepEvent
from benchmark.words import Narrator


class Terminal(AbstractContextManager["Terminal"], Protocol):
    """Where events are shown."""

    def show(self, event: SweepEvent) -> None: ...


def choose(narrator: Narrator, say: Callable[[str], None], stderr: bool) -> Terminal:
    """A live view where the lines go to a terminal, else plain lines."""
    stream = sys.stderr if stderr else sys.stdout
    return Animated(narrator, Console(file=stream, highlight=False)) if stream.isatty() else Plain(narrator, say)


@dataclass
class Plain:
    """One line an event."""

    narrator: Narrator
    say: Callable[[str], None]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, event: SweepEvent) -> None:
        if line := self.narrator.line(event):
            self.say(line)


@dataclass
class _Row:
    run: Run
    started: float
    event: Event | None = None


@dataclass
class Animated:
    """Ends and troubles as lines that stay; below them one line for each run under way."""

    narrator: Narrator
    console: Console
    rows: dict[str, _Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._live = Live(get_renderable=self._table, console=self.console, refresh_per_second=2)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rows.clear()
        self._live.__exit__(kind, error, trace)

    def show(self, event: SweepEvent) -> None:
        if isinstance(event, Started):
            self.rows[event.run.run_id] = _Row(event.run, time.monotonic())
        elif isinstance(event, EpochDone) and event.run.run_id in self.rows:
            self.rows[event.run.run_id].event = event.event
        elif isinstance(event, Ended):
            self.rows.pop(event.run.run_id, None)
        if not isinstance(event, Started | EpochDone) and (line := self.narrator.line(event)):
            self.console.print(line, markup=False)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for row in self.rows.values():
            table.add_row(*self._cells(row))
        return table

    def _cells(self, row: _Row) -> tuple[str, str, str, str]:
        epoch = row.event.epoch if row.event else 0
        value = row.event.metrics.get("val/accuracy") if row.event else None
        shown = "" if value is None else f"validation {100 * value:.1f} %"
        seconds = f"{time.monotonic() - row.started:.0f} s"
        return f"▸ {self.narrator.names[row.run.run_id]}", f"epoch {epoch}/{row.run.epochs}", shown, seconds
