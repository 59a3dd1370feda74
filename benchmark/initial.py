"""`init`: a first experiment for somebody's images, fit for them, for this machine and for a stated time.

The choice is rough and quick: the networks' costs are known (at 64 pixels, and nearly proportional to the pixels), so
that torch is not needed.  `plan` then measures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmark.catalogue import ModelFacts
from benchmark.config.resolved import text as yaml_value
from benchmark.datacard import IMBALANCED, DataCard
from benchmark.effort import Effort
from benchmark.run import Run

SIDES = (28, 32, 48, 64, 96, 128, 160, 192, 224)
"""Of the squares that images are brought to."""
REFERENCE = 64
COSTS: Mapping[str, ModelFacts] = {
    "lenet5": ModelFacts(390_326, 4_112_040, "", 12, None, 58_892, 24_576),
    "mobilenetv3_small_100": ModelFacts(1_528_106, 5_502_720, "", 1, None, 345_248, 18_432),
    "small/densenet": ModelFacts(588_994, 26_075_796, "", 29, None, 569_600, 32_768),
    "efficientnet_b0": ModelFacts(4_020_358, 31_979_392, "", 1, None, 1_839_112, 98_304),
    "resnet18": ModelFacts(11_181_642, 148_050_944, "", 1, None, 457_920, 65_536),
}
"""At 64 pixels, three channels and ten classes; a test compares them with the catalogue's."""
WORDS = {
    "lenet5": "the smallest: a baseline",
    "mobilenetv3_small_100": "made for phones: fast",
    "small/densenet": "few parameters",
    "efficientnet_b0": "much accuracy for its size, slow steps",
    "resnet18": "the usual first choice",
}
TINY = 32
"""Up to this side LeNet-5 is worth a row."""
FEWEST_EPOCHS, ENOUGH_EPOCHS, MOST_EPOCHS = 3, 10, 40
SEEDS = 2
STARTED = 60.0
"""Seconds of the budget that measuring speed, publishing and the report may take, at most a tenth of it."""


@dataclass(frozen=True)
class Proposal:
    """What the YAML will say; ``seconds`` is a rough estimate of all runs on so many workers."""

    card: DataCard
    image_size: int
    models: tuple[str, ...]
    batch_size: int
    epochs: int
    seeds: int
    workers: int
    seconds: float


def propose(card: DataCard, budget: float, workers: int, pace: float = 1.0) -> Proposal:
    """A fit experiment for a budget of seconds.

    Args:
        pace: how many times slower this machine is than :mod:`benchmark.effort`'s.

    With too little time for all models at the wanted size, the costliest are left out, down to three; then images get
    smaller; then there is one seed only, until each run has some epochs.
    """
    sides = [side for side in SIDES if side <= _side(card)] or [SIDES[0]]
    batch = _batch(card.facts.sizes["train"])
    usable = max(0.9 * budget, budget - STARTED)
    best = None
    for seeds, fewest in ((SEEDS, ENOUGH_EPOCHS), (1, ENOUGH_EPOCHS), (1, FEWEST_EPOCHS)):
        for side in reversed(sides):
            models = sorted(_candidates(side), key=lambda model: _seconds(card, model, side, batch, 1))
            for count in range(len(models), 1, -1):
                some = tuple(models[:count])
                epochs = _epochs(card, some, side, batch, usable * workers / (seeds * pace))
                found = Proposal(card, side, some, batch, epochs, seeds, workers, 0.0)
                best = found
                if epochs >= fewest and (count > 2 or side == sides[0]):
                    return _timed(found, pace)
    assert best is not None
    return _timed(dataclasses.replace(best, epochs=1), pace)


def yaml(proposal: Proposal, name: str, data: str, schema: str) -> str:
    """The experiment as commented YAML.

    Args:
        data: the value of its ``data`` key.
        schema: where editors find the JSON Schema.
    """
    card = proposal.card
    imbalanced = card.imbalance >= IMBALANCED
    primary = "test/balanced_accuracy" if imbalanced else "test/accuracy"
    shares = f"{card.imbalance:.1f} times as many training images in the largest class as in the smallest"
    minutes = max(1, round(proposal.seconds / 60))
    lines = [
        f"# yaml-language-server: $schema={schema}",
        f"# {card.lines[0]}; {card.lines[1]}.",
        f"# Some {minutes} min with {proposal.workers} workers, roughly; `python -m benchmark plan` measures it.",
        f"name: {name}",
        f"data: {data}",
        "",
        _line("defaults:", "of every run; `docs/keys.md` lists all keys"),
        _line(f"  image_size: {proposal.image_size}", _about_size(card, proposal.image_size)),
        _line(f"  epochs: {proposal.epochs}", "passes over the training images"),
        _line(f"  batch_size: {proposal.batch_size}", "images per optimizer step"),
        _line("  lr: 2e-3", "peak learning rate, of AdamW with a cosine schedule"),
        _line("  warmup_epochs: 0.5", "epochs in which it rises"),
        _line("  augment: light", "crop and flip; write none where left and right differ (digits, text)"),
        *([_line("  class_weights: balanced", shares)] if imbalanced else []),
        "",
        _line("matrix:", "every model with every seed"),
        "  model:",
        *(_line(f"    - {model}", WORDS[model]) for model in proposal.models),
        _line(f"  seed: [{', '.join(map(str, range(proposal.seeds)))}]", "more seeds tell skill from luck"),
        "",
        _line("report:", "what ranks the leaderboard"),
        _line(f"  primary: {primary}", "the mean of the classes' recalls: counts them alike" if imbalanced else ""),
        "",
    ]
    return "\n".join(lines)


def _line(text: str, comment: str) -> str:
    return f"{text:<31} # {comment}" if comment else text


def folder_value(path: str) -> str:
    """The value of ``data`` for a folder."""
    return f"{{source: folder, path: {yaml_value(path)}}}   # one directory for each class"


def _side(card: DataCard) -> float:
    """The shorter side of the middle image."""
    sides = sorted(side for (height, width, _), number in card.shapes.items() for side in [min(height, width)] * number)
    return sides[len(sides) // 2]


def _batch(train: int) -> int:
    """A power of two up to 64, so that an epoch has twenty steps or more where it can."""
    return next((size for size in (64, 32, 16) if train >= 20 * size), 8 if train >= 8 else 2)


def _candidates(side: int) -> list[str]:
    return [model for model in COSTS if side >= COSTS[model].minimum_size and (model != "lenet5" or side <= TINY)]


def _seconds(card: DataCard, model: str, side: int, batch: int, epochs: int) -> float:
    scale = (side / REFERENCE) ** 2
    cost = COSTS[model]
    facts = dataclasses.replace(cost, macs=round(cost.macs * scale), activations=round(cost.activations * scale))
    channels: Literal[1, 3] = 3 if card.facts.channels == 3 else 1
    run = Run(card.spec, model, image_size=side, channels=channels, epochs=epochs, batch_size=batch)
    return Effort.of(run, facts, card.facts).seconds


def _epochs(card: DataCard, models: Sequence[str], side: int, batch: int, seconds: float) -> int:
    once = sum(_seconds(card, model, side, batch, 1) for model in models)
    more = sum(_seconds(card, model, side, batch, 2) for model in models) - once
    return max(0, min(MOST_EPOCHS, 1 + int((seconds - once) / more)))


def _timed(found: Proposal, pace: float) -> Proposal:
    total = sum(_seconds(found.card, each, found.image_size, found.batch_size, found.epochs) for each in found.models)
    return dataclasses.replace(found, seconds=total * pace * found.seeds / found.workers)


def _about_size(card: DataCard, side: int) -> str:
    if {shape[:2] for shape in card.shapes} == {(side, side)}:
        return "their own"
    return f"squares of so many pixels; the shorter side of most is {round(_side(card))}"
