"""`data inspect`: the cards of an experiment's data sets, or of a folder.  `init`: a first experiment for them."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import catalogue, config, initial
from benchmark.data import datasets
from benchmark.data.imageset import DataFacts
from benchmark.datacard import DataCard
from benchmark.durable import atomic
from benchmark.installed import HERE, default_experiment
from benchmark.machine import usable_cores
from benchmark.preparing import UsageProblem
from benchmark.run import DataSpec
from benchmark.slugs import slug
from benchmark.timing import Experience


@dataclass(frozen=True)
class Inspected:
    """A data set's card, and where it was written."""

    card: DataCard
    path: Path

    @property
    def lines(self) -> list[str]:
        return [*self.card.lines, f"card: {self.path}"]

    @property
    def document(self) -> dict[str, Any]:
        card = self.card
        return {
            "label": card.spec.label,
            "digest": card.facts.digest,
            "classes": list(card.facts.classes),
            "counts": {split: list(counts) for split, counts in card.counts.items()},
            "channels": card.facts.channels,
            "shapes": [[*shape, number] for shape, number in card.shapes.items()],
            "duplicates": [[list(image) for image in group] for group in card.duplicates.groups],
            "warnings": list(card.warnings),
            "card": str(self.path),
        }


def inspect(place: Path | None, settings: Sequence[str], results: Path) -> list[Inspected]:
    """Reads the images of each data set, and writes its card into the directory of its results.

    Args:
        place: an experiment's file, or a folder of images.

    Raises:
        ConfigError, DataError: what is wrong with the experiment, or with the images.
    """
    cache = datasets.cache_directory()
    specs, directory = _specs(place, settings, results, cache)
    cards = [DataCard.of(spec, cache) for spec in specs]
    names = _names({card.spec: card.facts for card in cards})
    return [Inspected(card, card.write(directory, names[card.spec])) for card in cards]


def write_cards(data: Mapping[DataSpec, DataFacts], directory: Path) -> None:
    """Writes the card of each data set, where there is none of these very images.

    Raises:
        DataError: as :func:`benchmark.data.datasets.inspect`.
    """
    for spec, name in _names(data).items():
        path = directory / f"{name}.md"
        if not path.exists() or data[spec].digest not in path.read_text(encoding="utf-8"):
            DataCard.of(spec, datasets.cache_directory()).write(directory, name)


def initialise(folder: Path | None, output: Path, budget: float, *, force: bool) -> list[str]:
    """Writes a first experiment for the images in ``folder`` (or the embedded ones); what to say.

    Args:
        budget: seconds that its runs may take, roughly.

    Raises:
        DataError: images that cannot be read.
        UsageProblem: ``output`` is there already, or ``folder`` is no directory.
    """
    if output.exists() and not force:
        raise UsageProblem(f"{output} is there already: give another --output, or --force to write over it")
    if folder is not None and not folder.is_dir():
        raise UsageProblem(f"{folder}: {'not a directory' if folder.exists() else 'no such directory'}")
    cache, home = datasets.cache_directory(), output.absolute().parent
    spec = DataSpec("folder", path=str(folder.absolute())) if folder else DataSpec()
    card = DataCard.of(spec, cache)
    proposal = initial.propose(card, budget, usable_cores(), Experience.read(cache).factor("rough") or 1.0)
    data, name = "fashion-mini", "my-images"
    if folder:
        data, name = (
            initial.folder_value(os.path.relpath(folder.absolute(), home)),
            slug(folder.absolute().name, name),
        )
    schema = HERE / "shipped" / "experiment.schema.json"
    home.mkdir(parents=True, exist_ok=True)
    with atomic(output) as file:
        file.write(initial.yaml(proposal, name, data, str(schema)).encode())
    argument = "" if output == Path("experiments.yaml") else f" {shlex.quote(str(output))}"
    runs = len(proposal.models) * proposal.seeds
    return [
        *card.lines,
        f"written: {output}: {len(proposal.models)} models, {runs} runs, images of {proposal.image_size} pixels, "
        f"{proposal.epochs} epochs",
        f"next: python -m benchmark plan{argument}",
    ]


def _specs(
    place: Path | None, settings: Sequence[str], results: Path, cache: Path
) -> tuple[tuple[DataSpec, ...], Path]:
    """The data sets, and where their cards belong."""
    if place is not None and place.is_dir():
        folder = place.absolute()
        return (DataSpec("folder", path=str(folder)),), results / folder.name
    experiment = config.load(place or default_experiment(), settings, catalogue.names(cache))
    return experiment.data, results / experiment.name


def _names(data: Mapping[DataSpec, DataFacts]) -> dict[DataSpec, str]:
    """The files' names: with several data sets each has its label and the beginning of its digest."""
    if len(data) == 1:
        return dict.fromkeys(data, "data_card")
    slugs = {spec: re.sub(r"[^a-z0-9]+", "-", spec.label.lower()).strip("-")[:40] for spec in data}
    return {spec: f"data_card-{slugs[spec]}-{facts.digest[:6]}" for spec, facts in data.items()}
