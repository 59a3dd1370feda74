"""The lines of the live view: one for each run under way, and what there is to say of the whole sweep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from benchmark.progress import Progress, Running
from benchmark.words import duration, measuring, tally
from reports.metrics import metric

SPARK, VALUE, LEFT, GAP = 12, 6, 12, 2
"""Cells of the columns behind a run's name, and between them."""
NARROWEST = 16
"""Where less than this would be left for names, the sparkline gives way."""
COMPACT = 12
"""A terminal with fewer lines shows neither headings nor blank lines."""
ROOMY = 90
"""In a wider terminal the summary has a longer bar, and says how long the sweep has taken."""
LEVELS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int = SPARK) -> str:
    """The last ``width`` values as bars between the smallest and the largest of all; a gap where there is no value."""
    known = [each for each in values if each is not None and math.isfinite(each)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return "".join(_level(value, low, high) for value in values[-width:])


def _level(value: float | None, low: float, high: float) -> str:
    if value is None or not math.isfinite(value):
        return " "
    top = len(LEVELS) - 1
    return LEVELS[round((value - low) / (high - low) * top)] if high > low else LEVELS[top // 2]


def bar(share: float, width: int) -> tuple[str, str]:
    """The drawn and the empty part of a progress bar; halves of a cell count."""
    halves = round(max(0.0, min(1.0, share)) * 2 * width)
    drawn = "━" * (halves // 2) + "╸" * (halves % 2)
    return drawn, "─" * (width - len(drawn))


def shorten(name: str, width: int) -> str:
    """``name`` in at most ``width`` cells; of ``model, lr 0.1 · seed 3`` the seed stays."""
    if cell_len(name) <= width:
        return name
    head, mark, tail = name.rpartition(" · ")
    end = f"…{mark}{tail}" if head else "…"
    if cell_len(end) > width // 2:
        head, end = name, "…"
    return set_cell_size(head, max(0, width - cell_len(end))).rstrip(" ,") + end


def left_words(running: Running, now: float) -> str:
    """``2 min``, ``≤ 2 min`` where the run may stop early, ``soon``, or ``–`` where nobody knows."""
    seconds = running.seconds_left(now)
    if seconds is None:
        return "–"
    return "soon" if seconds < 1 else f"{'≤ ' * running.bound}{duration(seconds)}"


@dataclass(frozen=True)
class _Columns:
    name: int
    epoch: int
    spark: int

    @classmethod
    def fit(cls, width: int, longest: int, epoch: int) -> _Columns:
        """As wide as the names need, within ``width`` cells."""
        room = width - 2 - epoch - VALUE - LEFT - 3 * GAP
        spark = SPARK + 1 if room - SPARK - 1 >= min(longest, NARROWEST) else 0
        return cls(max(1, min(longest, room - spark)), epoch, spark)


class View:
    """Draws ``progress``.  Columns are as wide as the whole sweep needs, so that they do not move."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._longest = max((cell_len(progress.names[run.run_id]) for run in progress.todo), default=0)
        self._epoch = max((len(f"{run.epochs}") * 2 + 1 for run in progress.todo), default=5)

    def lines(self, width: int, height: int, now: float) -> list[Text]:
        """At most ``height`` lines of less than ``width`` cells."""
        compact = height < COMPACT
        below = self._below(width, compact, now)
        above = [] if compact or not self._progress.running else [Text()]
        heading = [] if compact or not self._progress.running else [self._heading(width)]
        room = max(1, height - len(above) - len(heading) - len(below) - 1)
        lines = [*above, *heading, *self._rows(width, room, now), *below]
        for line in lines:
            line.truncate(width - 1, overflow="ellipsis")
        return lines

    def _rows(self, width: int, room: int, now: float) -> list[Text]:
        running = list(self._progress.running.values())
        shown = running if len(running) <= room else running[: room - 1]
        columns = self._columns(width)
        rows = [self._row(each, columns, now) for each in shown]
        hidden = len(running) - len(shown)
        return [*rows, Text(f"… and {hidden} more", "dim")] if hidden else rows

    def _columns(self, width: int) -> _Columns:
        running = self._progress.running.values()
        longest = max([self._longest, *(cell_len(each.name) for each in running)])
        epoch = max([self._epoch, *(len(f"{each.planned}") * 2 + 1 for each in running)])
        return _Columns.fit(width - 1, longest, epoch)

    def _heading(self, width: int) -> Text:
        columns, name = self._columns(width), self._progress.metric
        title = metric(name).heading if name and columns.spark else ""
        cells = " " * (2 + columns.name + GAP) + "epoch".rjust(columns.epoch) + " " * GAP
        return Text(f"{cells}{set_cell_size(title, columns.spark + VALUE)}{' ' * GAP}{'left':>{LEFT}}", "dim")

    def _row(self, running: Running, columns: _Columns, now: float) -> Text:
        name, last = self._progress.metric or "val/accuracy", running.last
        value = last.metrics.get(name) if last else None
        epoch = f"{last.epoch if last else 0}/{running.planned}".rjust(columns.epoch)
        spark = sparkline(running.values(name)).ljust(columns.spark) if columns.spark else ""
        shown = "" if value is None else metric(name).write(value)
        gap = " " * GAP
        return Text.assemble(
            ("▸ ", "cyan"),
            set_cell_size(shorten(running.name, columns.name), columns.name),
            f"{gap}{epoch}{gap}",
            (spark, "cyan"),
            f"{shown:>{VALUE}}{gap}",
            (left_words(running, now).rjust(LEFT), "dim"),
        )

    def _below(self, width: int, compact: bool, now: float) -> list[Text]:
        progress = self._progress
        lines = [Text()] if not compact else []
        if doing := self._doing():
            lines.append(Text(f"▸ {doing}", "cyan"))
        if progress.total:
            lines.append(self._summary(width, now))
        if progress.best and not compact:
            value, name = progress.best
            lines.append(Text(f"best so far: {progress.primary} {value:.4f}, {name}", "dim"))
        return lines

    def _doing(self) -> str:
        """What happens besides training."""
        progress = self._progress
        if progress.measuring:
            return measuring(progress.measuring)
        return "" if progress.left or progress.running else "publishing to MLflow"

    def _summary(self, width: int, now: float) -> Text:
        progress = self._progress
        drawn, empty = bar(progress.share, 24 if width >= ROOMY else 10)
        left = progress.seconds_left(now) if progress.left else None
        times = [f"{duration(now - progress.started)} so far"] if width >= ROOMY else []
        times += [f"about {duration(left)} left"] if left else []
        counts = tally(progress.done, progress.failed, progress.left)
        stopping = "stopping · " if progress.stopping else ""
        return Text.assemble(
            (drawn, "cyan"), (empty, "dim"), f"  {stopping}{counts}", ("".join(f" · {each}" for each in times), "dim")
        )
