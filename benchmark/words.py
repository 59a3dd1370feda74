"""What the commands say: plain lines for events, tables for plans.  Returns text and prints nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.catalogue import ModelFacts, Row
from benchmark.plan import Plan, PlannedRun
from benchmark.publishing import Published, Trouble
from benchmark.rundir import Failure, Result
from benchmark.sweep import Ended, EpochDone, Started, Stopping, SweepEvent


@dataclass
class Narrator:
    """Turns the events of a sweep into lines.  ``total`` runs are to be done."""

    names: Mapping[str, str]
    primary: str
    total: int
    ended: int = 0
    troubles: set[str] = field(default_factory=set)

    def line(self, event: SweepEvent) -> str | None:
        """One line for people, or ``None`` where there is nothing to say."""
        if isinstance(event, Started):
            verb = "goes on" if event.adopted else "started" if event.attempt == 1 else f"started, try {event.attempt}"
            return self._about(event.run.run_id, verb)
        if isinstance(event, EpochDone):
            metrics = event.event.metrics
            value, seconds = metrics.get("val/accuracy"), metrics.get("cost/train_seconds") or 0.0
            accuracy = "–" if value is None else f"{100 * value:.1f} %"
            text = f"epoch {event.event.epoch}/{event.run.epochs} · validation accuracy {accuracy} · {seconds:.0f} s"
            return self._about(event.run.run_id, text)
        if isinstance(event, Ended):
            return self._ended(event)
        if isinstance(event, Stopping):
            return stopping(event)
        if isinstance(event, Trouble):
            return self._trouble(event)
        assert isinstance(event, Published)
        return None

    def _ended(self, event: Ended) -> str:
        if event.retry:
            assert isinstance(event.outcome, Failure)
            return self._about(event.run.run_id, f"{event.outcome.kind}: {event.outcome.message}; tried again later")
        self.ended += 1
        return self._about(event.run.run_id, outcome_words(event.outcome, self.primary, str(event.log)))

    def _trouble(self, event: Trouble) -> str | None:
        if event.message in self.troubles:
            return None
        self.troubles.add(event.message)
        return f"MLflow: {event.message} (training goes on; the results wait on disk)"

    def _about(self, run_id: str, text: str) -> str:
        return f"[{self.ended}/{self.total}] {run_id[:6]} {self.names[run_id]}: {text}"


def outcome_words(outcome: Result | Failure, primary: str, log: str) -> str:
    """``done: test/accuracy 0.8123 in 64 s``, or the failure, the end of its log, and where to look."""
    if isinstance(outcome, Failure):
        if outcome.kind == "diverged":
            remedy = "a smaller lr, warmup_epochs or clip_grad may help"
            return f"FAILED, diverged: {outcome.message}; {remedy}\n    log: {log}"
        tail = "".join(f"\n    {line}" for line in outcome.traceback.splitlines()[-5:])
        return f"FAILED, {outcome.kind}: {outcome.message}{tail}\n    log: {log}"
    value = outcome.metrics.get(primary)
    shown = "undefined" if value is None else f"{value:.4f}"
    return f"done: {primary} {shown} in {outcome.finished - outcome.started:.0f} s"


def stopping(event: Stopping) -> str:
    if event.how == "drain":
        return f"stopping: {event.running} under way are finished first; Ctrl-C again stops them too"
    return f"stopping {event.running} runs now; the next `run` starts them again"


def counts(cells: Iterable[PlannedRun]) -> str:
    """``9 runs: 7 new, 2 done``."""
    states = Counter(cell.state for cell in cells)
    each = ", ".join(f"{number} {state}" for state, number in states.items())
    return f"{sum(states.values())} runs: {each}"


def plan_lines(plan: Plan, names: Mapping[str, str]) -> list[str]:
    """One line per cell: id, state, name, why."""
    width = max(len(names[run.run_id]) for run in plan.runs)
    return [
        f"{cell.run.run_id[:6]}  {cell.state:<6}  {names[cell.run.run_id]:<{width}}  {cell.why}" for cell in plan.cells
    ]


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
    }


def model_lines(rows: Sequence[Row]) -> list[str]:
    """Models for people."""
    heading = ("model", "family", "parameters", "minimum size")
    shown = [(r.name, r.family, *_numbers(r.facts)) for r in rows]
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
