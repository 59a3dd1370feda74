"""What the commands say: plain lines for events, tables for plans.  Returns text and prints nothing."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.catalogue import ModelFacts, Row
from benchmark.estimate import Estimate
from benchmark.forecast import Forecast
from benchmark.metric_names import METRICS
from benchmark.plan import PlannedRun
from benchmark.progress import watched
from benchmark.publishing import Published, Trouble
from benchmark.records import Failure, Result
from benchmark.sweep_events import Ended, EpochDone, Measuring, Notice, Paused, Started, Stopping, SweepEvent
from reports.metrics import metric

MANY = 40
"""Of more runs than this, those that start or succeed leave no line."""
TAIL = 5
"""Lines of a failure's traceback that are shown; of many runs none."""
UNPRINTABLE = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
"""Colours and control characters of a job's log: no part of a message."""


@dataclass
class Narrator:
    """Turns the events of a sweep into lines.  ``total`` runs are to be done."""

    names: Mapping[str, str]
    primary: str
    total: int
    ended: int = 0
    troubles: set[str] = field(default_factory=set)

    @property
    def many(self) -> bool:
        """Whether there are too many runs for a line each."""
        return self.total > MANY

    def line(self, event: SweepEvent) -> str | None:
        """One line for people, or ``None`` where there is nothing to say."""
        if isinstance(event, Started):
            verb = (
                "goes on"
                if event.adopted or event.promoted
                else "started"
                if event.attempt == 1
                else f"started, try {event.attempt}"
            )
            return self._about(event.run.run_id, verb)
        if isinstance(event, EpochDone):
            return self._about(event.run.run_id, self._epoch(event))
        if isinstance(event, Ended):
            return self._ended(event)
        if isinstance(event, Paused):
            return self._about(event.run.run_id, f"waits for the others after epoch {event.epochs}/{event.run.epochs}")
        if isinstance(event, Stopping):
            return stopping(event)
        if isinstance(event, Measuring):
            return measuring(event)
        if isinstance(event, Notice):
            return event.message
        if isinstance(event, Trouble):
            return self._trouble(event)
        assert isinstance(event, Published)
        return None

    def _epoch(self, event: EpochDone) -> str:
        metrics = event.event.metrics
        name = watched(self.primary, metrics)
        value, seconds = metrics.get(name), metrics.get("cost/train_seconds") or 0.0
        shown = "–" if value is None else f"{metric(name).write(value)}{' %' * metric(name).points}"
        return f"epoch {event.event.epoch}/{event.run.epochs} · {METRICS[name].title} {shown} · {seconds:.0f} s"

    def _ended(self, event: Ended) -> str:
        if event.retry:
            assert isinstance(event.outcome, Failure)
            message = printable(event.outcome.message)
            return self._about(event.run.run_id, f"{event.outcome.kind}: {message}; tried again later")
        self.ended += 1
        tail = 0 if self.many else TAIL
        return self._about(event.run.run_id, outcome_words(event.outcome, self.primary, str(event.log), tail))

    def _trouble(self, event: Trouble) -> str | None:
        if event.message in self.troubles:
            return None
        self.troubles.add(event.message)
        return f"MLflow: {event.message} (training goes on; the results wait on disk)"

    def _about(self, run_id: str, text: str) -> str:
        return f"[{self.ended}/{self.total}] {run_id[:6]} {self.names[run_id]}: {text}"


def outcome_words(outcome: Result | Failure, primary: str, log: str, tail: int = TAIL) -> str:
    """``done: test/accuracy 0.8123 in 64 s``, or the failure, the end of its log, and where to look."""
    if isinstance(outcome, Failure) and outcome.kind == "pruned":
        return outcome.message
    if isinstance(outcome, Failure):
        return printable(f"FAILED, {_failure_words(outcome, tail)}\n    log: {log}")
    value = outcome.metrics.get(primary)
    shown = "undefined" if value is None else f"{value:.4f}"
    return f"done: {primary} {shown} in {outcome.finished - outcome.started:.0f} s"


def _failure_words(failure: Failure, tail: int) -> str:
    if failure.kind == "diverged":
        return f"diverged: {failure.message}; a smaller lr, warmup_epochs or clip_grad may help"
    lines = failure.traceback.splitlines()[-tail:] if tail else []
    return f"{failure.kind}: {failure.message}" + "".join(f"\n    {line}" for line in lines)


def stopping(event: Stopping) -> str:
    if event.how == "drain":
        return f"stopping: what is under way ({event.running}) is finished first; Ctrl-C again stops it too"
    if event.how == "disk":
        return (
            f"the disk is full: nothing more is started, {event.running} under way are finished; "
            "free some space and `run` again"
        )
    runs = f"{event.running} run{'s' * (event.running != 1)}"
    if event.how == "ask":
        return f"interrupted: {runs} in AWS"
    if event.how == "leave":
        return f"leaving {runs} in AWS; the next `run` goes on with what is there"
    if event.how == "budget":
        return "the budget is spent: no further run is started (aws: budget_usd)"
    up = "the time is up: " * (event.how == "time")
    return f"{up}stopping {runs} now; the next `run` goes on with what is left of them"


def measuring(event: Measuring) -> str:
    place = f"({event.number}/{event.total})"
    return f"measuring the speed of {event.run.model} {place}, nothing else runs"


def progress_line(done: int, failed: int, left: int, seconds: float | None) -> str:
    """``[40/200] 38 done, 2 failed, 160 left · about 12 min left``."""
    eta = "" if seconds is None else f" · about {duration(seconds)} left"
    return f"[{done + failed}/{done + failed + left}] {tally(done, failed, left)}{eta}"


def tally(done: int, failed: int, left: int) -> str:
    """``38 done, 2 failed, 160 left``."""
    return f"{done} done, {f'{failed} failed, ' if failed else ''}{left} left"


def duration(seconds: float) -> str:
    """``95 s``, ``3 min``, ``1 h 20 min``, ``2 d 3 h``."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"


def printable(text: str) -> str:
    """``text`` without what would move the cursor or change colours."""
    return UNPRINTABLE.sub("", text)


def counts(cells: Iterable[PlannedRun]) -> str:
    """``9 runs: 7 new, 2 done``."""
    states = Counter(cell.state for cell in cells)
    each = ", ".join(f"{number} {state}" for state, number in states.items())
    return f"{sum(states.values())} runs: {each}"


def command(path: Path | None, settings: Sequence[str], *typed: str) -> str:
    """What to type: ``python -m benchmark run my.yaml --set epochs=3``."""
    options = [part for each in settings for part in ("--set", each)]
    return shlex.join(["python", "-m", "benchmark", *typed, *([str(path)] if path else []), *options])


def plan_lines(cells: Sequence[PlannedRun], names: Mapping[str, str], forecast: Forecast) -> list[str]:
    """One line per cell: id, state, name, why; of a new one also how long it will take."""
    width = max(len(names[cell.run.run_id]) for cell in cells)
    return [f"{c.run.run_id[:6]}  {c.state:<6}  {names[c.run.run_id]:<{width}}  {_reason(c, forecast)}" for c in cells]


def _reason(cell: PlannedRun, forecast: Forecast) -> str:
    seconds = forecast.seconds(cell.run) if cell.state == "new" else None
    return cell.why if seconds is None else f"{cell.why}, about {duration(seconds)}"


def estimate(found: Estimate) -> str:
    """``about 4 min (3 min to 7 min)``, and with a price ``, $0.08 ($0.06 to $0.14)``."""
    time = f"about {duration(found.seconds)} ({duration(found.low)} to {duration(found.high)})"
    if found.dollars is None:
        return f"{time}, cost unknown" if found.unpriced else time
    expected, low, high = map(money, found.dollars)
    return f"{time}, {expected} ({low} to {high})"


def money(dollars: float) -> str:
    """``$0.08``; what is less than a cent is not nothing."""
    return "under $0.01" if 0 < dollars < 0.005 else f"${dollars:,.2f}"


def plan_summary(cells: Sequence[PlannedRun], found: Estimate | None) -> str:
    """``9 runs: 9 new; training: about 4 min (3 min to 7 min), with 2 workers``."""
    if found is None:
        return counts(cells)
    return f"{counts(cells)}; training: {estimate(found)}, with {found.workers} worker{'s' * (found.workers != 1)}"


def search(outlook: Mapping[str, Mapping[str, int]]) -> list[str]:
    """``10 of 50 trials are chosen; ...``, of a search that goes on, or which share of the epochs one will train."""
    found = outlook.get("search")
    if found is None or found.get("trials") == found["of"]:
        return []
    if "trials" in found:
        return [f"{found['trials']} of {found['of']} trials are chosen; the others follow from what these come to"]
    epochs, whole = found["epochs"], found["of"]
    return [f"the search will train {epochs:,} of {whole:,} epochs ({epochs / whole:.0%}); the time is that of all"]


def forecast_error(expected: Estimate, took: float) -> str:
    """``training took 4 min; the forecast was about 4 min (3 min to 7 min)``."""
    return f"training took {duration(took)}; the forecast was {estimate(expected)}"


def model_document(row: Row) -> dict[str, Any]:
    """A model for programs; numbers are of a 32-pixel RGB image and 10 classes, or the model's smallest."""
    facts = row.facts
    return {
        "model": row.name,
        "family": row.family,
        "architecture": facts.architecture if facts else None,
        "parameters": facts.parameters if facts else None,
        "macs": facts.macs if facts else None,
        "minimum_size": facts.minimum_size if facts else None,
        "weights": row.weights,
    }


def model_lines(rows: Sequence[Row]) -> list[str]:
    """Models for people."""
    heading = ("model", "family", "parameters", "minimum size", "pretrained")
    shown = [(r.name, r.family, *_numbers(r.facts), "yes" if r.weights else "–") for r in rows]
    lines = table([heading, *shown])
    if any(row.facts is None for row in rows):
        lines.append("–: not looked up yet; ask for fewer, such as `python -m benchmark models 'resnet*'`")
    return lines


def _numbers(facts: ModelFacts | None) -> tuple[str, str]:
    return (f"{facts.parameters:,}", f"{facts.minimum_size}") if facts else ("–", "–")


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns aligned to their widest cell; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
