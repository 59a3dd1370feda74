"""The plan of an experiment as the commands want it: with names, a choice of cells, and how long it will take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark import catalogue, collector, config, paying, preparing, trials
from benchmark import plan as planning
from benchmark.catalogue import Names
from benchmark.config import ConfigError, Experiment
from benchmark.config.sampling import Shares
from benchmark.data import datasets
from benchmark.estimate import Estimate
from benchmark.installed import default_experiment
from benchmark.labels import labels
from benchmark.packing import Packing
from benchmark.plan import Plan, PlannedRun
from benchmark.preparing import UsageProblem
from benchmark.probes import Probes
from benchmark.run import Run
from launch import is_remote


@dataclass(frozen=True)
class Found:
    """A plan, what its runs are called, and those of its cells that were asked for."""

    plan: Plan
    cells: tuple[PlannedRun, ...]

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Run id -> what people read."""
        return labels(self.plan.runs)

    def requests(self, run: Run) -> dict[str, Any]:
        """In mode aws: what SageMaker would be asked for, were the run alone, as ``request``, and how many of the new
        runs like it would share a job, as ``runs_per_job``."""
        launch = self.plan.experiment.launch
        if self._packing is None:
            return {}
        from launch.aws_preview import preview

        asked = preview(run, self.plan.experiment.name, launch, preparing.tasks(launch))
        return {"request": asked, "runs_per_job": self._packing.runs_per_job(run)}

    @cached_property
    def _new(self) -> list[Run]:
        return [cell.run for cell in self.cells if cell.state == "new"]

    @cached_property
    def _packing(self) -> Packing | None:
        """Of the new runs, in mode aws."""
        launch = self.plan.experiment.launch
        return Packing(launch, self._new, self.plan.forecast()) if is_remote(launch.mode) else None

    def adapted(self, change: Callable[[Experiment], Experiment]) -> Found:
        """The same runs, launched and tracked otherwise."""
        return replace(self, plan=replace(self.plan, experiment=change(self.plan.experiment)))

    def estimate(self) -> Estimate | None:
        """How long those of them that are new will take, with the YAML's workers."""
        launch, packing = self.plan.experiment.launch, self._packing
        how = preparing.settings(launch, None, self._new, packing=packing)
        workers = preparing.at_a_time(launch, None, how, packing)
        return paying.expected(launch, self._new, self.plan.forecast(), workers, remote=packing is not None)


def planned(
    path: Path | None,
    settings: Sequence[str],
    results: Path,
    only: Sequence[str] = (),
    probe: planning.Probing | None = None,
    *,
    decode: bool = False,
) -> Found:
    """The plan of an experiment.

    Args:
        only: selects cells.
        probe: measures how long their steps take.
        decode: they will be run: images that are decoded to be looked at are kept.

    Raises:
        ConfigError, DataError: what is wrong with it.
        UsageProblem: ``only`` leaves nothing.
    """
    wanted = config.selection(only)
    cache = datasets.cache_directory()
    with collector.paused(), catalogue.one_child():
        experiment = _experiment(path or default_experiment(), settings, results, catalogue.names(cache))
        plan = planning.make(experiment, results / experiment.name, cache, probe, decode=decode)
    cells = tuple(cell for cell in plan.cells if cell.run in wanted)
    if not cells:
        raise UsageProblem(f"--only {' --only '.join(only)}: no run of this experiment fits")
    return Found(plan, cells)


def _experiment(path: Path, settings: Sequence[str], results: Path, known: Names) -> Experiment:
    """With the trials that its search has chosen."""
    experiment = config.load(path, settings, known)
    space = experiment.space
    further = trials.chosen(results / experiment.name, space) if space else ()
    return config.load(path, settings, known, further) if further else experiment


def trial_problem(
    path: Path | None, settings: Sequence[str], plan: Plan, accepted: Sequence[Shares], shares: Shares
) -> str | None:
    """Why the runs of a further trial cannot be, beside those of the plan and of ``accepted`` ones; ``None``: they
    can."""
    assert plan.experiment.space is not None
    cache, chosen = datasets.cache_directory(), (*plan.experiment.space.sampling.chosen, *accepted, shares)
    try:
        experiment = config.load(path or default_experiment(), settings, catalogue.names(cache), chosen)
        if not any(cell.trial == shares for cell in experiment.cells):
            return "it is excluded, or equal to another one"
        planning.make(experiment, plan.directory, cache)
    except ConfigError as error:
        return str(error.problems[0])
    return None


def probing(tell: Callable[[int, int], None]) -> planning.Probing:
    """Measures steps in a process of its own; ``tell`` hears how many of how many are done."""

    def measure(probes: Probes, runs: Sequence[Run]) -> None:
        from launch.host import ALLOCATOR, threads

        done = 0
        tell(done, len(runs))
        for each in probes.take(runs, lambda count: {**ALLOCATOR, **threads(count)}) if runs else ():
            done += each
            tell(done, len(runs))

    return measure
