"""The leaderboard of an experiment as it stands, for commands and programs that only look; a sweep may be under way."""

from __future__ import annotations

from benchmark.journal import Journal
from benchmark.plan import Plan
from benchmark.preparing import must_have_run
from benchmark.results import leaderboard
from reports.leaderboard import Leaderboard


def board(plan: Plan, command: str) -> Leaderboard:
    """The leaderboard of the current plan; ``command`` is what makes it.

    Raises:
        UsageProblem: nothing has run yet.
    """
    must_have_run(plan)
    journal = Journal(plan.directory)
    try:
        return leaderboard(plan, journal, command, None)
    finally:
        journal.close()
