"""The leaderboard of an experiment as it stands, for commands and programs that only look; a sweep may be under way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmark.config.resolved import told
from benchmark.journal import Journal
from benchmark.plan import Plan
from benchmark.preparing import UsageProblem, must_have_run
from benchmark.results import entries, leaderboard
from benchmark.rundir import BrokenFile
from reports.leaderboard import DataSummary, Header, Leaderboard, build


def board(plan: Plan, command: str) -> Leaderboard:
    """The leaderboard of the current plan; ``command`` is what makes it.

    Raises:
        UsageProblem: nothing has run yet.
    """
    must_have_run(plan)
    with Journal.read(plan.directory) as journal:
        return leaderboard(plan, journal, command, None)


def kept(directory: Path) -> Leaderboard:
    """The leaderboard of the runs that were last planned in a directory of results; YAML and images are not needed.

    Raises:
        UsageProblem: there is no plan yet.
        BrokenFile: ``experiment.yaml`` or the journal is not what a sweep writes, or of another version.
        JournalError: there is a file in the journal's place that is none.
    """
    path = directory / "experiment.yaml"
    try:
        with Journal.read(directory) as journal:
            found = entries(journal.planned(), journal)
        if not found or not path.exists():
            raise UsageProblem(f"nothing has run yet in {directory}: a sweep may be about to begin")
        return build(found, _header(directory, told(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenFile(
            f"{directory}: {path.name}, leaderboard.json or journal.db is not what a sweep of this program writes: "
            f"{error}; `run` writes the first two anew"
        ) from error


def _header(directory: Path, about: dict[str, Any]) -> Header:
    return Header(
        experiment=about["name"],
        data=_data(directory / "leaderboard.json"),
        primary=about["report"]["primary"],
        description=about.get("description", ""),
    )


def _data(path: Path) -> tuple[DataSummary, ...]:
    """Classes and sizes, which the last leaderboard tells; before there is one, nobody does."""
    if not path.exists():
        return ()
    sets = json.loads(path.read_text(encoding="utf-8"))["data"]
    return tuple(DataSummary(each["label"], each["digest"], tuple(each["classes"]), each["sizes"]) for each in sets)
