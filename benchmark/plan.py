"""From an experiment to its runs, each with its state and the reason for it.  Nothing is started or written here
but caches (digests of data, facts of models)."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from benchmark import catalogue, obtaining, plugins
from benchmark.catalogue import ModelFacts, ModelSpec
from benchmark.changes import changes
from benchmark.config import Experiment, matrix
from benchmark.config.sampling import Shares
from benchmark.data import datasets
from benchmark.data.datacache import DataError
from benchmark.data.datasets import DataFacts
from benchmark.effort import Effort
from benchmark.forecast import Forecast
from benchmark.journal import Journal, Outcome
from benchmark.probes import Probes
from benchmark.records import LIBRARIES, Result
from benchmark.run import DataSpec, Run, canonical_json
from benchmark.timing import Experience, Range, timed
from benchmark.waiting import seed_rounds

State = Literal["new", "done", "failed", "pruned", "stale"]
"""``pruned``: a search stopped it."""
Probing = Callable[[Probes, Sequence[Run]], None]


@dataclass(frozen=True)
class PlannedRun:
    """One cell: its run, its state, and why it is in that state."""

    run: Run
    state: State
    why: str
    outcome: Outcome | None
    effort: float
    """Multiply-adds of training, forward passes only: longer runs have more."""


@dataclass(frozen=True)
class Plan:
    """Every cell of an experiment, in the order in which they run."""

    experiment: Experiment
    directory: Path
    cells: tuple[PlannedRun, ...]
    data: Mapping[DataSpec, DataFacts]
    efforts: Mapping[str, Effort]
    """By run id."""
    unsure: Range | None = None
    """By what the efforts' seconds may be off; ``None``: they are not those of this machine."""
    trials: Mapping[Shares, tuple[Run, ...]] = field(default_factory=dict)
    """Of a search that chooses configurations: the runs of each."""

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(cell.run for cell in self.cells)

    def forecast(self) -> Forecast:
        """What to expect of the runs, from their efforts and the results that are there."""
        return _forecast(self.efforts, self.cells, self.unsure)


def make(
    experiment: Experiment, directory: Path, cache: Path, probe: Probing | None = None, *, decode: bool = False
) -> Plan:
    """Resolves every cell and looks up what is done.

    Args:
        directory: of the experiment's results; it need not exist.
        cache: of data, model facts and probes.
        probe: measures how long steps of new runs take on this machine, those with the least to compute first.
        decode: runs will follow: image files that are looked at for the first time are kept in the form of most runs.

    Raises:
        ConfigError: cells that cannot run, all at once.
        DataError: images that are missing or unreadable.
    """
    facts = {spec: _inspected(experiment, spec, cache, decode=decode) for spec in experiment.data}
    runs, models = _resolved(experiment, facts, cache)
    efforts = {run.run_id: Effort.of(run, models[_spec(run, facts[run.data])], facts[run.data]) for run in runs}
    cells = _cells(experiment, runs, efforts, directory)
    probes = Probes(cache, {spec: len(each.classes) for spec, each in facts.items()})
    if probe:
        untried = (cell.run for cell in cells if cell.state == "new")
        probe(probes, probes.missing(sorted(untried, key=lambda run: efforts[run.run_id].seconds)))
    efforts, unsure = timed(efforts, probes.of(runs), Experience.read(cache))
    order = _order(cells, _forecast(efforts, cells, unsure))
    ordered, trials = tuple(sorted(cells, key=order)), _trials(experiment, runs)
    return Plan(experiment, directory, ordered, facts, efforts, unsure, trials)


def _inspected(experiment: Experiment, spec: DataSpec, cache: Path, *, decode: bool) -> DataFacts:
    try:
        return datasets.inspect(spec, cache, _form(experiment, spec) if decode else None)
    except DataError as error:
        raise DataError(f"{experiment.path}: {error}") from error


def _resolved(
    experiment: Experiment, facts: Mapping[DataSpec, DataFacts], cache: Path
) -> tuple[tuple[Run, ...], Mapping[ModelSpec, ModelFacts]]:
    """The runs, and what is known of their models."""
    models: dict[ModelSpec, ModelFacts] = {}

    def describe(specs: Sequence[ModelSpec]) -> Mapping[ModelSpec, ModelFacts]:
        models.update(catalogue.describe(specs, cache))
        return models

    runs = matrix.resolve(
        experiment,
        facts,
        describe,
        lambda specs: catalogue.refusals(specs, cache),
        lambda specs: obtaining.obtain(specs, cache),
    )
    return runs, models


def _cells(
    experiment: Experiment, runs: Sequence[Run], efforts: Mapping[str, Effort], directory: Path
) -> list[PlannedRun]:
    """Each run with its state, as the journal has it."""
    outcomes, begun = _read_journal(directory)
    ids = {run.run_id for run in runs}
    new = (run for run in runs if run.run_id not in outcomes)
    changed = changes(new, (each for each in begun if each["run_id"] not in ids))
    outcomes = outcomes if experiment.search.strategy == "halving" else _without_search(outcomes)
    words = {**dict.fromkeys((each["run_id"] for each in begun), "begun, no result yet"), **changed}
    return [_cell(run, outcomes.get(run.run_id), efforts[run.run_id].macs, words.get(run.run_id)) for run in runs]


def _trials(experiment: Experiment, runs: Sequence[Run]) -> dict[Shares, tuple[Run, ...]]:
    found: dict[Shares, tuple[Run, ...]] = {}
    for cell, run in zip(experiment.cells, runs, strict=True):
        if cell.trial is not None:
            found[cell.trial] = (*found.get(cell.trial, ()), run)
    return found


def _form(experiment: Experiment, spec: DataSpec) -> datasets.Wanted:
    """The form in which most cells want the images of a data set."""
    runs = (cell.run for cell in experiment.cells if cell.run.data == spec)
    forms = Counter(
        datasets.Wanted(run.image_size, run.channels, run.resize, run.interpolation, run.crop_pct) for run in runs
    )
    return forms.most_common(1)[0][0]


def _read_journal(directory: Path) -> tuple[dict[str, Outcome], list[dict[str, Any]]]:
    """The journal's outcomes and the runs that were begun, or nothing where there is no journal yet."""
    if not (directory / "journal.db").exists():
        return {}, []
    with Journal.read(directory) as journal:
        return journal.outcomes(), journal.begun()


@cache
def _version(library: str) -> str:
    """Read once: looking it up takes 2 ms, and there may be thousands of results."""
    return importlib.metadata.version(library)


def stale_reason(result: Result) -> str | None:
    """Which libraries and plug-ins differ between a result and this installation, in words.

    A container has libraries of its own: which of them are today's, only its image knows.  Plug-ins are given to it.
    """
    added = list(plugins.changes(str(result.environment.get("plugins", ""))))
    if "image" in result.environment:
        return ", ".join(added) or None
    changes = [
        f"{name} {result.environment.get(name)} then, {today} now"
        for name in LIBRARIES
        if (today := _version(name)) != result.environment.get(name)
    ]
    return ", ".join([*changes, *added]) or None


def _without_search(outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Where none is asked for, a run that one stopped is as good as new."""
    return {name: each for name, each in outcomes.items() if not each.pruned}


def _cell(run: Run, outcome: Outcome | None, effort: float, new: str | None) -> PlannedRun:
    """``new``: what there is to say where there is no outcome."""
    if outcome is None:
        return PlannedRun(run, "new", new or "no result yet", None, effort)
    if outcome.failure is not None and outcome.pruned:
        return PlannedRun(run, "pruned", outcome.failure.message, outcome, effort)
    if outcome.failure is not None:
        why = f"{outcome.failure.kind}: {outcome.failure.message.splitlines()[0]}"
        return PlannedRun(run, "failed", why, outcome, effort)
    assert outcome.result is not None
    if reason := stale_reason(outcome.result):
        return PlannedRun(run, "stale", reason, outcome, effort)
    return PlannedRun(run, "done", f"{outcome.attempts} attempt{'s' * (outcome.attempts != 1)}", outcome, effort)


def _spec(run: Run, data: DataFacts) -> ModelSpec:
    assert run.image_size is not None
    assert run.channels is not None
    return ModelSpec(run.model, canonical_json(run.model_args), run.image_size, run.channels, len(data.classes))


def _forecast(efforts: Mapping[str, Effort], cells: Iterable[PlannedRun], unsure: Range | None) -> Forecast:
    results = ((cell.run, cell.outcome.result) for cell in cells if cell.outcome)
    return Forecast(efforts, ((run, result) for run, result in results if result), unsure)


def _order(cells: Iterable[PlannedRun], forecast: Forecast) -> Callable[[PlannedRun], tuple[int, float]]:
    """By seed index, then longest expected first: every configuration has a first result early, and no long run is
    left for the end."""
    rounds = seed_rounds([cell.run for cell in cells])
    return lambda cell: (rounds[cell.run.run_id], -forecast.weight(cell.run))
