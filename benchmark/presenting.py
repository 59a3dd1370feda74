"""What MLflow is given of a whole sweep when it ends: the view of its runs, and the leaderboard's files."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark import mlflow_store, registering
from benchmark.journal import Journal
from benchmark.plan import Plan
from benchmark.publishing import Publishing, within

if TYPE_CHECKING:
    from benchmark.tracking import Publisher

_PRESENTED = "presented"
"""The journal's note whether MLflow has the leaderboard."""


@dataclass
class Presenting:
    """``uri`` is of the tracker, ``command`` what to type, of the words behind ``python -m benchmark``; until the
    ``deadline`` the tracker is waited for."""

    plan: Plan
    journal: Journal
    publishing: Publishing
    uri: str
    command: Callable[..., str]
    deadline: float = math.inf

    @property
    def waiting(self) -> int:
        """How many of the plan's runs have an outcome that MLflow does not have."""
        outcomes, known = self.journal.outcomes(), self.journal.publications()
        return sum(not known[run.run_id].committed for run in self.plan.runs if run.run_id in outcomes)

    def lines(self, *, worked: bool) -> list[str]:
        """Presents, where there is something new, and says what came of it; ``worked``: runs were to be done."""
        if self.waiting:
            return ["MLflow does not have everything yet; `python -m benchmark sync` publishes what waits on disk"]
        nothing_new = self.publishing.publisher is None and self.journal.note(_PRESENTED, "yes") == "yes"
        if nothing_new or not self.publishing.close(0):
            return [] if worked or not (view := self.journal.note("view", "")) else [view]
        try:
            return [self.present()]
        except mlflow_store.TrackingError as error:
            return [f"MLflow: {error}; `python -m benchmark sync` publishes the leaderboard there"]

    def present(self) -> str:
        """Gives MLflow the view and the leaderboard's files; the line that leads there.

        Raises:
            TrackingError: MLflow does not take them.
        """
        plan, journal = self.plan, self.journal
        publisher = self.publishing.publisher or _publisher(self.uri, plan)
        files, uuid = _files(plan.directory), journal.note("sweep_uuid", os.urandom(16).hex())
        journal.remember(_PRESENTED, "no")  # whoever ends within is followed by one who presents it again

        def show() -> str:
            link = publisher.write_view(plan.runs, plan.experiment.report.primary)
            publisher.log_sweep(files, uuid)
            return link

        link = within(self.deadline - time.monotonic(), show)
        line = f"compare the runs: `{self.command('ui')}`, or {mlflow_store.view_words(self.uri, Path.cwd(), link)}"
        journal.remember("view", line)
        journal.remember(_PRESENTED, "yes")
        return "\n".join((line, *registering.lines(plan, journal, self.uri)))


def publishing_of(uri: str, plan: Plan, *, after: Publishing | None, soon: bool) -> Publishing:
    """What publishes the runs of a plan.

    Args:
        after: what may still work.
        soon: there will be something to publish.
    """
    warm_up = _import_libraries if soon else (lambda: None)
    return Publishing(lambda: _publisher(uri, plan), lambda: mlflow_store.answers(uri), warm_up, after)


def _publisher(uri: str, plan: Plan) -> Publisher:
    from benchmark.results import run_figures, source_commit
    from benchmark.tracking import Publisher

    return Publisher(uri, plan.experiment.name, data=plan.data, artifacts=run_figures, commit=source_commit())


def _import_libraries() -> None:
    """Of the tracker and of the reports: both are needed in the end."""
    import benchmark.results
    import benchmark.tracking  # noqa: F401


def _files(directory: Path) -> dict[str, bytes]:
    found = [directory / f"leaderboard.{kind}" for kind in ("md", "html", "csv", "json")]
    found += sorted((directory / "figures").glob("*"))
    return {str(path.relative_to(directory)): path.read_bytes() for path in found if path.is_file()}
