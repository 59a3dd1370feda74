"""How far an experiment is, as `status` tells it: done, failed, under way, left.  Nothing is started or written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark import words
from benchmark.journal import Journal
from benchmark.lock import holder
from benchmark.plan import Plan
from benchmark.planned import planned
from benchmark.reporting import Summary
from benchmark.run import Run
from benchmark.searching import outlook
from launch.living import is_under_way


def status(path: Path | None, settings: Sequence[str], results: Path) -> Summary:
    """The states of all cells, what is under way and what failed, and which command comes next.

    Raises:
        ConfigError, DataError, JournalError: what is wrong with the experiment.
    """
    found = planned(path, settings, results)
    counts = Counter(cell.state for cell in found.plan.cells)
    running = list(_running(found.plan))
    search = outlook(found.plan)
    lines = [words.counts(found.plan.cells), *words.search(search)]
    lines += (f"under way: {found.names[run.run_id]}" for run in running)
    lines += [f"failed: {found.names[c.run.run_id]}: {c.why}" for c in found.plan.cells if c.state == "failed"]
    if holder(found.plan.directory) is None:
        verb = "run" if any(cell.state == "new" for cell in found.plan.cells) or words.search(search) else "report"
        lines.append(f"next: {words.command(path, settings, verb)}")
    name = found.plan.experiment.name
    document = {"experiment": name, "states": counts, "running": [run.run_id for run in running], **search}
    return Summary(tuple(lines), document)


def _running(plan: Plan) -> Iterator[Run]:
    """Those whose job lives, also where the command that started it does not."""
    if not (plan.directory / "journal.db").exists():
        return
    with Journal.read(plan.directory) as journal:
        opened = journal.open_attempts()
    yield from (run for run in plan.runs if run.run_id in opened and is_under_way(journal.rundir(run)))
