"""Pretrained weights in an experiment: keys that belong together, and what only the weights know, filled in.

Weights are asked for in one batch, when the images' size and channels are known; what is wrong with them becomes an
error at the place of ``pretrained``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.config.experiment import Cell
from benchmark.config.problems import Mark, Problems
from benchmark.run import DataSpec, Run, canonical_json
from benchmark.weights import WeightsFacts, WeightsSpec

if TYPE_CHECKING:
    from benchmark.data.imageset import DataFacts

Obtain = Callable[[Sequence[WeightsSpec]], Mapping[WeightsSpec, WeightsFacts]]
Tell = Callable[[Cell, Iterable[str], str], None]
"""Adds a problem at the first of some keys that the cell's YAML gives."""


def nothing(specs: Sequence[WeightsSpec]) -> Mapping[WeightsSpec, WeightsFacts]:
    """Where nobody obtains weights."""
    return {spec: WeightsFacts(error="pretrained weights are not obtained here") for spec in specs}


def check_keys(cells: Iterable[Cell], problems: Problems) -> None:
    """Keys that mean nothing without another, or contradict one."""
    for cell in cells:
        for name, message in _contradictions(cell.run):
            problems.add(cell.origin.get(name, Mark("")), message)


def _contradictions(run: Run) -> Iterable[tuple[str, str]]:
    if run.unfreeze_epoch is not None and run.freeze == "none":
        yield "unfreeze_epoch", "unfreeze_epoch does nothing without freeze: backbone"
    elif run.unfreeze_epoch is not None and run.unfreeze_epoch >= run.epochs:
        yield "unfreeze_epoch", f"unfreeze_epoch {run.unfreeze_epoch} must be less than epochs {run.epochs}"
    if run.normalize == "model" and not run.pretrained:
        yield "normalize", "normalize: model needs a pretrained model; set pretrained, or mean and std"
    if (run.mean is None) != (run.std is None):
        yield ("std" if run.mean is None else "mean"), "mean and std belong together; give both"
    if run.mean is not None and run.std is not None:
        if len(run.mean) != len(run.std) or len(run.mean) not in (1, 3):
            yield "mean", "mean and std are lists of a value for each channel, 1 or 3"
        if min(run.std, default=1) <= 0:
            yield "std", "std must have values greater than 0"
    if run.crop_pct is not None and run.crop_pct < 1 and run.resize == "pad":
        yield "crop_pct", "crop_pct contradicts resize: pad, which keeps the whole image"


def with_weights(
    pairs: Sequence[tuple[Cell, Run]], data: Mapping[DataSpec, DataFacts], obtain: Obtain, tell: Tell
) -> list[tuple[Cell, Run]]:
    """The runs with what their weights say; those whose weights are wrong are left out, after a problem."""
    specs = {id(run): _spec(run, data[run.data]) for _, run in pairs if run.pretrained}
    wanted = list(dict.fromkeys(specs.values()))
    found = obtain(wanted) if wanted else {}
    told: set[WeightsSpec] = set()
    result = []
    for cell, run in pairs:
        spec = specs.get(id(run))
        facts = found[spec] if spec else WeightsFacts()
        if spec and facts.error and spec not in told:
            tell(cell, ("pretrained", "model"), facts.error)
            told.add(spec)
        elif spec and not facts.error and run.normalize == "model" and not facts.mean and run.mean is None:
            tell(cell, ("normalize",), f"nobody knows mean and deviation of {run.model}'s weights; give mean and std")
        if not facts.error:
            result.append((cell, _resolved(run, facts, data[run.data])))
    return result


def _spec(run: Run, data: DataFacts) -> WeightsSpec:
    assert run.image_size is not None
    assert run.channels is not None
    source = "" if isinstance(run.pretrained, bool) else run.pretrained
    args = canonical_json(run.model_args)
    return WeightsSpec(run.model, args, source, run.image_size, run.channels, len(data.classes))


def _resolved(run: Run, facts: WeightsFacts, data: DataFacts) -> Run:
    """Given keys stay; images of the right size are not resized, so that filter and crop have nothing to do."""
    values: dict[str, Any] = {"weights_digest": facts.digest}
    if run.mean is not None and run.std is not None:
        values |= {"mean": for_channels(run.mean, run.channels), "std": for_channels(run.std, run.channels)}
    elif facts.mean and run.normalize != "data":
        values |= {"mean": for_channels(facts.mean, run.channels), "std": for_channels(facts.std, run.channels)}
    if facts.digest and data.image_size != run.image_size:
        values["interpolation"] = facts.interpolation if run.interpolation == "auto" else run.interpolation
        if run.crop_pct is None and run.resize != "pad" and facts.crop_pct < 1:
            values["crop_pct"] = facts.crop_pct
    return dataclasses.replace(run, **values)


def for_channels(values: Sequence[float], channels: int | None) -> list[float]:
    """As many values as channels: their mean for grey images, one for each of RGB."""
    if len(values) == channels:
        return list(values)
    return [sum(values) / len(values)] * (channels or 1)
