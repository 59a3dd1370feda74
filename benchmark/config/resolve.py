"""Cells -> runs: what only the data and the models know is filled in and checked; pure.

Data give the digest, and image size and channels where the YAML names none.  Models are described in one batch; what
they refuse becomes an error at the place of the key that asks for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from benchmark.config.experiment import Cell, Experiment
from benchmark.config.problems import Mark, Problems
from benchmark.run import DataSpec, Run, canonical_json

if TYPE_CHECKING:
    from benchmark.catalogue import ModelFacts, ModelSpec
    from benchmark.data.datasets import DataFacts

    Describe = Callable[[Sequence[ModelSpec]], Mapping[ModelSpec, ModelFacts]]


def resolve(experiment: Experiment, data: Mapping[DataSpec, DataFacts], describe: Describe) -> tuple[Run, ...]:
    """The runs of an experiment, ready to have an identity, in the order of its cells.

    ``data`` has the facts of each of ``experiment.data``.  ``describe`` is called with all different model
    specifications, and once more with those whose input ``resize: auto`` enlarges, if there are any.

    Raises:
        ConfigError: everything that does not fit together.
    """
    places = _Places(experiment, Problems())
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
    remedy = f"{run.model}: {facts.error}" if facts.error else f"{message}; write resize: auto to enlarge them for it"
    places.add(cell, ("image_size", "model"), remedy)
    return None


def _check_model(cell: Cell, facts: ModelFacts, places: _Places) -> None:
    if facts.error:
        places.add(cell, ("model",), f"{cell.run.model}: {facts.error}")


def _check_equal(pairs: Iterable[tuple[Cell, Run]], places: _Places) -> None:
    first: dict[str, Cell] = {}
    for cell, run in pairs:
        other = first.setdefault(run.run_id, cell)
        if other is not cell:
            keys = ("image_size", "channels", "data", *cell.choice)
            places.add(cell, keys, f"two cells turn out to be the same run: ({other.label}) and ({cell.label})")
