"""A search over the runs of a sweep: what its epochs say, read from the run directories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmark.config.experiment import SearchSettings
from benchmark.halving import Curve, Decision, Halving
from benchmark.journal import Journal, Outcome
from benchmark.plan import Plan
from benchmark.run import Run
from benchmark.rundir import BrokenFile, RunDir


def outlook(plan: Plan) -> dict[str, dict[str, int]]:
    """For programs, what an experiment's search comes to: trials that are chosen, or epochs that will be trained in
    all, and ``of`` how many; nothing without a search, or at its end."""
    search, space = plan.experiment.search, plan.experiment.space
    if space:
        return {"search": {"trials": len(space.tried), "of": search.trials}}
    if search.strategy != "halving" or all(cell.state != "new" for cell in plan.cells):
        return {}
    epochs, whole = Halving(plan.runs, search.metric, search.reduction).epochs
    return {"search": {"epochs": epochs, "of": whole}}


def curve(rundir: RunDir, metric: str) -> Curve:
    """What a run has of its epochs; nothing where they cannot be read."""
    try:
        return [event.metrics.get(metric) for event in rundir.read_events()]
    except BrokenFile:
        return []


class Searching:
    """``settings`` of an experiment; ``None``, or of another strategy: every run goes to its end."""

    def __init__(self, settings: SearchSettings | None) -> None:
        self._settings = settings if settings and settings.strategy == "halving" else None
        self._search: Halving | None = None
        self._ours: set[str] = set()

    def begin(
        self, planned: Sequence[Run], todo: Iterable[Run], outcomes: Mapping[str, Outcome], journal: Journal
    ) -> Decision:
        """Takes in what an earlier sweep left.  Runs compete that are to run, and those that are done or were stopped;
        ones that were not asked for are waited for by nobody."""
        if self._settings is None:
            return Decision()
        todo = list(todo)
        self._ours = {run.run_id for run in todo}
        there = [run for run in planned if run.run_id in self._ours or run.run_id in outcomes]
        self._search = Halving(there, self._settings.metric, self._settings.reduction)
        for run in there:
            outcome = outcomes.get(run.run_id) if run.run_id not in self._ours else None
            competes = outcome is not None and (outcome.result is not None or outcome.pruned)
            self._tell(run, journal.rundir(run), ended=competes)
            if outcome and not competes:
                self._search.lose(run)
        return self._search.decide()

    def until(self, run: Run) -> int | None:
        """After which epoch the run is to pause."""
        return self._search.until(run) if self._search else None

    def has_promoted(self, run: Run) -> bool:
        """Whether the run has been let past a rung."""
        return self._search is not None and self._search.level(run) > 0

    def is_ours(self, run: Run) -> bool:
        """Whether this sweep was asked for the run."""
        return run.run_id in self._ours

    def hear(self, run: Run, rundir: RunDir, *, ended: bool, lost: bool = False) -> Decision:
        """What follows from a run that paused, has its result (``ended``), or has failed (``lost``)."""
        if self._search is None:
            return Decision()
        self._tell(run, rundir, ended=ended)
        if lost:
            self._search.lose(run)
        return self._search.decide()

    def _tell(self, run: Run, rundir: RunDir, *, ended: bool) -> None:
        assert self._search is not None
        assert self._settings is not None
        self._search.know(run, curve(rundir, self._settings.metric), ended=ended)
