"""A range test of learning rates: ``python -m benchmark.training.lr_range`` (a process of its own: it imports torch).

Reads ``{"steps", "requests"}`` from standard input, as JSON, and writes a line of JSON for each request ``{"run",
"data", "weights"}`` as it comes: ``{"rates", "losses"}`` of as many steps as were made, or ``{"error"}``.

The rate rises from step to step by the same factor, from 1e-6 to 10, in one training from the run's beginning; the loss
of each batch is smoothed, and the test ends where it is four times the lowest, or no number.

Source: Smith, *Cyclical Learning Rates for Training Neural Networks*, WACV 2017, section 3.3; smoothing and end as in
fastai's finder.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmark.children import answers
from benchmark.run import Run
from benchmark.training.data import load
from benchmark.training.diverged import Diverged
from benchmark.training.learner import Learner
from benchmark.training.outset import choose_device, make_model, make_normalize, pretrain, set_up

LOW, HIGH = 1e-6, 10.0
SMOOTHING = 0.9
HOPELESS = 4.0
"""Times the lowest loss."""


def main() -> None:
    """Answers every request; a run that fails costs its own answer only."""
    document, answering = json.load(sys.stdin), answers()
    for request in document["requests"]:
        try:
            learner = _learner(Run.from_json(request["run"]), Path(request["data"]), request["weights"])
            answer = _answer(list(sweep(learner, document["steps"])))
        except Exception as error:  # any library's, of any model
            answer = {"error": f"{type(error).__name__}: {error}"}
        answering.write(json.dumps(answer) + "\n")
        answering.flush()


def _answer(found: Sequence[tuple[float, float]]) -> dict[str, Any]:
    if not found:
        return {"error": f"the loss is no number already at a learning rate of {LOW:g}"}
    rates, losses = zip(*found, strict=True)
    return {"rates": rates, "losses": losses}


def sweep(learner: Learner, steps: int) -> Iterator[tuple[float, float]]:
    """Rate and smoothed loss of each of at most ``steps`` steps."""
    mean, lowest = 0.0, math.inf
    with_rate = ((LOW * (HIGH / LOW) ** (step / (steps - 1))) for step in range(steps))
    for number, (rate, loss) in enumerate(_losses(learner, with_rate), start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smooth = mean / (1 - SMOOTHING**number)
        if not smooth < HOPELESS * lowest:  # or it is no number
            return
        lowest = min(lowest, smooth)
        yield rate, smooth


def _losses(learner: Learner, rates: Iterator[float]) -> Iterator[tuple[float, float]]:
    """Each rate with the loss of the batch before its step, over as many epochs as it takes."""
    for epoch in itertools.count(1):
        progress = learner.begin(epoch)
        making = learner.go_on(progress)
        while not progress.over:
            rate = next(rates, None)
            if rate is None:
                return
            for group in learner.optimizer.param_groups:
                group["lr"] = rate * group.get("lr_scale", 1.0)
            try:
                next(making)
            except Diverged:
                return
            yield rate, float(progress.losses[progress.done - 1])


def _learner(run: Run, directory: Path, weights: str | None) -> Learner:
    run = dataclasses.replace(run, schedule="constant", warmup_epochs=0.0, unfreeze_epoch=None)
    set_up(run)
    data, device = load(directory), choose_device(run.device)
    model = make_model(run, data, device)
    pretrain(run, model, Path(weights) if weights else None)
    return Learner.of(run, data, model, make_normalize(run, data, device))


if __name__ == "__main__":
    main()
