"""Cells -> runs: what only the data and the models know is filled in and checked; pure.

Data give the digest, and image size and channels where the YAML names none.  Models are described in one batch, and
optimizers tried in one; what they refuse becomes an error at the place of the key that asks for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from benchmark.config.experiment import Cell, Experiment
from benchmark.config.problems import Mark, Problems
from benchmark.config.tuning import Obtain, nothing, with_weights
from benchmark.metric_names import MINIMUM_CLASSES
from benchmark.run import DataSpec, Run, canonical_json

if TYPE_CHECKING:
    from benchmark.catalogue import ModelFacts, ModelSpec, OptimizerSpec
    from benchmark.data.datasets import DataFacts

    Describe = Callable[[Sequence[ModelSpec]], Mapping[ModelSpec, ModelFacts]]
    Refusals = Callable[[Sequence[OptimizerSpec]], Mapping[OptimizerSpec, str | None]]


def resolve(
    experiment: Experiment,
    data: Mapping[DataSpec, DataFacts],
    describe: Describe,
    refusals: Refusals,
    obtain: Obtain = nothing,
) -> tuple[Run, ...]:
    """The runs of an experiment, ready to have an identity, in the order of its cells.

    ``data`` has the facts of each of ``experiment.data``.  ``describe`` is called with all different model
    specifications, and once more with those whose input ``resize: auto`` enlarges, if there are any; ``refusals`` with
    all different optimizers and their arguments; ``obtain`` with all different pretrained weights, of models that are
    right.

    Raises:
        ConfigError: everything that does not fit together.
    """
    places = _Places(experiment, Problems())
    _check_primary(experiment, data, places)
    _check_optimizers(experiment.cells, refusals, places)
    pairs = [(cell, run) for cell in experiment.cells if (run := _with_data(cell, data[cell.run.data], places))]
    specs = _specs((run for _, run in pairs), data)
    facts = dict(describe(list(dict.fromkeys(specs))))
    sized = [(cell, _enlarged(cell, run, facts[spec], places)) for (cell, run), spec in zip(pairs, specs, strict=True)]
    final = [(cell, run) for cell, run in sized if run]
    specs = _specs((run for _, run in final), data)
    grown = [spec for spec in dict.fromkeys(specs) if spec not in facts]
    facts.update(describe(grown) if grown else {})
    for (cell, _), spec in zip(final, specs, strict=True):
        _check_model(cell, facts[spec], places)
    right = [pair for pair, spec in zip(final, specs, strict=True) if not facts[spec].error]
    final = with_weights(right, data, obtain, places.add)
    _check_equal(final, places)
    places.problems.check()
    return tuple(run for _, run in final)


@dataclass(frozen=True)
class _Places:
    """Puts a problem at the first of some keys that the YAML gives."""

    experiment: Experiment
    problems: Problems

    def add(self, cell: Cell, keys: Iterable[str], message: str) -> None:
        marks = (cell.origin[key] for key in keys if key in cell.origin)
        self.problems.add(next(marks, Mark(str(self.experiment.path))), message)


def _with_data(cell: Cell, facts: DataFacts, places: _Places) -> Run | None:
    """The cell's run with what its data say; ``None`` after a problem without whose solution nothing can be checked."""
    run, train = cell.run, facts.sizes["train"]
    if run.batch_size > train:
        message = f"batch_size {run.batch_size} is more than the {train} training images of {run.data.label}"
        places.add(cell, ("batch_size", "data"), f"{message}; set a smaller batch_size")
    if run.processes > run.batch_size:
        message = f"{run.processes} processes cannot share a batch of {run.batch_size}"
        places.add(cell, ("processes", "batch_size"), f"{message}; set fewer processes or a larger batch_size")
    if run.processes % (hosts := places.experiment.launch.hosts):
        message = f"{run.processes} process{'es' * (run.processes != 1)} cannot be divided among {hosts} hosts"
        places.add(cell, ("processes",), f"{message} (launch: hosts); set processes: {hosts}, or fewer hosts")
    size = run.image_size or facts.image_size
    if size is None:
        remedy = "give image_size, for example image_size: 64"
        places.add(cell, ("data",), f"the images of {run.data.label} have different sizes; {remedy}")
        return None
    channels = cast(Literal[1, 3], run.channels or facts.channels)
    return dataclasses.replace(run, data_digest=facts.digest, image_size=size, channels=channels)


def _specs(runs: Iterable[Run], data: Mapping[DataSpec, DataFacts]) -> list[ModelSpec]:
    from benchmark.catalogue import ModelSpec

    return [
        ModelSpec(
            model=run.model,
            model_args=canonical_json(run.model_args),
            image_size=run.image_size or 0,
            channels=run.channels or 0,
            classes=len(data[run.data].classes),
        )
        for run in runs
    ]


def _enlarged(cell: Cell, run: Run, facts: ModelFacts, places: _Places) -> Run | None:
    """The run with an input that its model can take; ``None`` after a problem."""
    if (run.image_size or 0) >= facts.minimum_size:
        return run
    if run.resize == "auto":
        return dataclasses.replace(run, image_size=facts.minimum_size)
    message = f"{run.model} needs images of at least {facts.minimum_size} pixels, not {run.image_size}"
    remedy = f"{message}; write resize: auto to enlarge them for it"
    places.add(cell, ("image_size", "model"), _told(run, facts.error) if facts.error else remedy)
    return None


def _check_model(cell: Cell, facts: ModelFacts, places: _Places) -> None:
    run = cell.run
    if facts.error:
        places.add(cell, (*_named(run.model_args, "model_args", facts.error), "model"), _told(run, facts.error))
    elif run.batch_size < facts.minimum_batch:
        message = f"{run.model} has batch normalisation, which cannot be trained with a batch_size of {run.batch_size}"
        places.add(cell, ("batch_size", "model"), f"{message}; set batch_size: {facts.minimum_batch} or more")


def _told(run: Run, error: str) -> str:
    return error if error.startswith(run.model) else f"{run.model}: {error}"


def _check_optimizers(cells: Iterable[Cell], refusals: Refusals, places: _Places) -> None:
    from benchmark.catalogue import OptimizerSpec

    specs = {id(cell): OptimizerSpec(cell.run.optimizer, canonical_json(cell.run.optimizer_args)) for cell in cells}
    refused = refusals(list(dict.fromkeys(specs.values())))
    for cell in cells:
        if message := refused[specs[id(cell)]]:
            keys = _named(cell.run.optimizer_args, "optimizer_args", message)
            places.add(cell, (*keys, "optimizer_args", "optimizer"), message)


def _named(entries: Iterable[str], key: str, message: str) -> Iterator[str]:
    """Those entries of a mapping that a message speaks of, as keys of a cell's origin."""
    return (f"{key}.{name}" for name in entries if f"'{name}'" in message)


def _check_primary(experiment: Experiment, data: Mapping[DataSpec, DataFacts], places: _Places) -> None:
    primary = experiment.report.primary
    least = MINIMUM_CLASSES.get(primary.partition("/")[2], 2)
    for spec, facts in data.items():
        if (count := len(facts.classes)) < least:
            message = f"primary: {primary} says nothing of the {count} classes of {spec.label}, it needs {least}"
            places.problems.add(experiment.primary_mark, f"{message}; choose another, such as test/accuracy")


def _check_equal(pairs: Iterable[tuple[Cell, Run]], places: _Places) -> None:
    first: dict[str, Cell] = {}
    for cell, run in pairs:
        other = first.setdefault(run.run_id, cell)
        if other is not cell:
            keys = ("image_size", "channels", "data", *cell.choice)
            places.add(cell, keys, f"two cells turn out to be the same run: ({other.label}) and ({cell.label})")
