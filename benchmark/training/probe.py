"""How long steps take on this machine: ``python -m benchmark.training.probe`` (a process of its own: it imports torch).

Reads a JSON list of ``{"key", "run", "classes"}`` from standard input and writes a line of JSON for each as it comes:
``{"key", "step", "image"}``, the seconds of one training step and of one image's evaluation, or ``{"key", "error"}``.
The images are random: what they show does not matter for time.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmark.children import answers
from benchmark.run import Run
from benchmark.training.data import PreparedData, Split
from benchmark.training.learner import Learner
from benchmark.training.outset import choose_device, make_model, make_normalize, set_up

STEPS = 2
"""So many steps are timed, after one to warm up."""
LONG = 1.0
"""Seconds of a first step that has to do: the others would take as long."""


def main() -> None:
    """Answers every request; a model that fails costs its own answer only."""
    answering = answers()
    for request in json.load(sys.stdin):
        try:
            answer = measure(Run.from_json(request["run"]), request["classes"])
        except Exception as error:  # any library's, of any model
            answer = {"error": f"{type(error).__name__}: {error}"}
        answering.write(json.dumps({"key": request["key"], **answer}) + "\n")
        answering.flush()


def measure(run: Run, classes: int) -> dict[str, Any]:
    """``step`` and ``image``, in seconds; ``run`` has its image size and channels."""
    freeze = run.freeze if run.unfreeze_epoch is None else "none"  # most of its time it learns
    run = dataclasses.replace(run, epochs=STEPS + 1, warmup_epochs=0.0, freeze=freeze, unfreeze_epoch=None)
    set_up(run)
    device, data = choose_device(run.device), _random_data(run, classes)
    learner = Learner.of(run, data, make_model(run, data, device), make_normalize(run, data, device))
    step = _seconds(lambda: learner.epoch(1), device)
    if step < LONG:
        step = min(_seconds(partial(learner.epoch, number), device) for number in range(2, STEPS + 2))
    learner.validate(data.val, 1)
    return {"step": step, "image": _seconds(lambda: learner.validate(data.val, 1), device) / len(data.val)}


def _random_data(run: Run, classes: int) -> PreparedData:
    """One batch to train on, and as many images to evaluate."""
    assert run.image_size is not None
    assert run.channels is not None
    shape = (max(2, run.share), run.image_size, run.image_size, run.channels)
    images = torch.randint(256, shape, dtype=torch.uint8)
    split = Split(images, torch.arange(len(images)) % classes, np.arange(len(images)).astype(np.str_))
    level = torch.full((run.channels,), 0.5)
    return PreparedData(split, split, split, tuple(map(str, range(classes))), level, level, run.data_digest)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
