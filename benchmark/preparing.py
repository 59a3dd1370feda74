"""What a sweep needs before it starts: which runs, over which decoded images, with how many workers, and where."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.attempt import Limits
from benchmark.config.experiment import LaunchSettings
from benchmark.data import datasets
from benchmark.installed import default_experiment
from benchmark.machine import available_memory, usable_cores
from benchmark.mlflow_store import sqlite_path
from benchmark.packing import Packing
from benchmark.plan import Plan, PlannedRun
from benchmark.profiles import Profiles
from benchmark.run import Run
from benchmark.sweep import Settings

MEMORY_SHARE = 0.9
"""Of the memory that is free, for workers; the rest is for the orchestrator and for errors of the forecast."""

Form = tuple[str, int, int, str, str, float | None]


class UsageProblem(Exception):
    """An option that means nothing here; the message says what would."""


@dataclass
class Decoded:
    """The decoded images of runs; each form is made when it is first asked for."""

    places: dict[Form, Path] = field(default_factory=dict)

    def __call__(self, run: Run) -> Path:
        assert run.image_size is not None
        assert run.channels is not None
        form = (run.data_digest, run.image_size, run.channels, run.resize, run.interpolation, run.crop_pct)
        if form not in self.places:
            self.places[form] = datasets.prepare(
                run.data,
                image_size=run.image_size,
                channels=run.channels,
                resize=run.resize,
                interpolation=run.interpolation,
                crop_pct=run.crop_pct,
                cache=datasets.cache_directory(),
                digest=run.data_digest,
            )
        return self.places[form]


def must_have_run(plan: Plan) -> None:
    """
    Raises:
        UsageProblem: nothing has run yet.
    """
    if not (plan.directory / "journal.db").exists():
        raise UsageProblem(f"nothing has run yet in {plan.directory}: {comes_first(plan)}")


def comes_first(plan: Plan) -> str:
    """What to type before there is anything to look at."""
    path = plan.experiment.path
    named = "" if path == default_experiment() else f" {shlex.quote(str(path))}"
    return f"`python -m benchmark run{named}` comes first"


def chosen(plan: Plan, retry: Iterable[str], rerun_stale: bool) -> list[PlannedRun]:
    """The cells to run: new ones, and the failed and stale ones that were asked for.

    Raises:
        UsageProblem: ``retry`` names what there is not.
    """
    wanted = {cell.run.run_id for cell in plan.cells if cell.state == "new"}
    for name in retry:
        wanted |= _failed(plan, name)
    if rerun_stale:
        wanted |= {cell.run.run_id for cell in plan.cells if cell.state == "stale"}
    return [cell for cell in plan.cells if cell.run.run_id in wanted]


def _failed(plan: Plan, name: str) -> set[str]:
    found = {cell.run.run_id for cell in plan.cells if _may_be_tried(cell, name)}
    if not found and name != "all" and not any(cell.run.run_id.startswith(name) for cell in plan.cells):
        kinds = sorted({c.outcome.failure.kind for c in plan.cells if c.outcome and c.outcome.failure})
        known = f"the kinds are {', '.join(kinds)}" if kinds else "nothing has failed"
        raise UsageProblem(f"--retry {name}: no failed run of this kind or id; {known}")
    return found


def _may_be_tried(cell: PlannedRun, name: str) -> bool:
    """What a search stopped is tried again when it is named: ``all`` is all that failed."""
    return (cell.state == "failed" or (cell.state == "pruned" and name != "all")) and _matches(cell, name)


def _matches(cell: PlannedRun, name: str) -> bool:
    assert cell.outcome is not None
    assert cell.outcome.failure is not None
    return name in ("all", cell.outcome.failure.kind) or cell.run.run_id.startswith(name)


def places(plan: Plan, uri: str) -> Iterable[Path]:
    """The directories that a sweep writes to."""
    yield plan.directory
    yield datasets.cache_directory()
    store = sqlite_path(uri)
    if store is not None:
        yield store.absolute().parent


def settings(
    launch: LaunchSettings,
    workers: int | None,
    todo: Sequence[Run],
    most_seconds: float | None = None,
    *,
    packing: Packing | None = None,
) -> Settings:
    """How to sweep; ``workers`` and ``most_seconds`` are what the command line says.  Jobs that run elsewhere, for
    which there is a ``packing``, take nothing of this machine, and SageMaker minds their time."""
    count = _wanted(launch, workers)
    if packing:
        growing = None if count or launch.aws.runs_per_job != "auto" else packing.count_workers
        return Settings(count or packing.workers, Limits(), launch.retries, None, most_seconds, growing)
    memory = int(MEMORY_SHARE * available_memory())
    limits = Limits(launch.timeout, launch.time_limit)
    return Settings(count or fitting(todo), limits, launch.retries, memory, most_seconds)


def at_a_time(launch: LaunchSettings, workers: int | None, found: Settings, packing: Packing | None) -> int:
    """How many of the workers work at a time: of runs that share a job one does."""
    return min(found.workers, _wanted(launch, workers) or packing.jobs) if packing else found.workers


def _wanted(launch: LaunchSettings, workers: int | None) -> int | None:
    return workers or (launch.workers if isinstance(launch.workers, int) else None)


def tasks(launch: LaunchSettings) -> str:
    """What a job that has a machine of its own does."""
    return "train,profile" if launch.profile else "train"


def profiles(plan: Plan, place: str) -> Profiles | None:
    """Where speeds are kept, unless none is wanted; ``place`` is where jobs run (:class:`launch.Launcher`)."""
    if not plan.experiment.launch.profile:
        return None
    return Profiles(datasets.cache_directory(), {spec: len(facts.classes) for spec, facts in plan.data.items()}, place)


def fitting(todo: Sequence[Run]) -> int:
    """As many workers as have cores of their own."""
    return max(1, usable_cores() // max((run.cores for run in todo), default=1))
