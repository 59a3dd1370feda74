"""The books of a sweep: outcomes and costs of its runs in the journal, and what MLflow is told of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmark.attempt import Active, read_profile
from benchmark.failpoints import reach
from benchmark.journal import Outcome, is_unbilled
from benchmark.publishing import Published, Request
from benchmark.records import Failure, Result
from benchmark.run import Run
from benchmark.site import Site
from benchmark.sweep_events import Notice, SweepEvent


class Books:
    """Of the runs of a plan, of which the ``known`` have an outcome."""

    def __init__(self, site: Site, planned: Sequence[Run], known: Mapping[str, Outcome]) -> None:
        self._site, self._journal, self._planned = site, site.journal, tuple(planned)
        self._unbilled = [run for run in planned if is_unbilled(known.get(run.run_id))]
        self._publications = self._journal.publications()

    def uuid(self, run: Run) -> str:
        """By which MLflow's copy of a run is found again."""
        return self._publications[run.run_id].uuid

    def publish_the_rest(self) -> None:
        """Runs with an outcome that MLflow does not have."""
        done = self._journal.outcomes()
        for run in self._planned:
            if run.run_id in done and not self._publications[run.run_id].committed:
                self.notify(run)

    def record(self, active: Active, outcome: Result | Failure, costs: Mapping[str, float | None]) -> None:
        """An outcome that stands."""
        if isinstance(outcome, Failure):
            active.rundir.write_failure(outcome)
            active.rundir.clear_checkpoints()
        else:
            self._site.forecast.learn(active.run, outcome)
            self.take_profile(active.run)
        self._journal.record(active.run, outcome, {**read_profile(active.rundir), **costs})
        if costs.get("cost/billed_seconds", 0.0) is None:
            self._unbilled.append(active.run)
        reach("sweep.recorded")
        self.notify(active.run)

    def take_bills(self) -> None:
        """Of runs that were done before the job that they shared with others: their bills come with its end."""
        for run in tuple(self._unbilled):
            costs = self._site.budget.costs(self._journal.rundir(run))
            if costs.get("cost/billed_seconds") is not None:
                self._unbilled.remove(run)
                self._journal.record_costs(run, costs)
                self.notify(run)

    def hear(self) -> Iterator[SweepEvent]:
        """What publisher and launcher have to say."""
        for reply in self._site.publishing.replies():
            if isinstance(reply, Published):
                self._journal.published(reply.run.run_id, reply.mlflow_run_id, reply.commit)
            yield reply
        yield from map(Notice, self._site.launcher.notices())

    def notify(self, run: Run) -> None:
        """There is something new of a run."""
        known, rundir = self._publications[run.run_id], self._journal.rundir(run)
        name, started = self._site.names[run.run_id], self._journal.started(run)
        costs = self._journal.costs(run)
        self._site.publishing.notify(Request(run, rundir, known.uuid, known.mlflow_run_id, name, started, costs))

    def take_profile(self, run: Run) -> Mapping[str, float | None] | None:
        """The speed of a run's model, where it is known, which is then in the run's directory, too."""
        profiles = self._site.profiles
        if profiles is None or not (profile := profiles.known(run)):
            return None
        self._journal.rundir(run).take_profile(profiles.place(run))
        return profile
