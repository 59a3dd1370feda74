"""A run directory that nobody has trained: what simulated jobs leave behind as theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.records import Event, Predictions, Result
from benchmark.rundir import RunDir
from benchmark.training.evaluate import evaluation
from benchmark.training.metrics import scores

IMAGES, CLASSES = 60, ("0", "1", "2")
MODEL = 4096
"""Bytes."""


def leave(directory: Path, epochs: int) -> Path:
    """Writes every file of a finished run there; the directory itself."""
    rundir, splits, metrics = RunDir(directory), {}, {}
    directory.mkdir()
    for number, split in enumerate(("val", "test")):
        splits[split] = found = _predictions(number)
        metrics |= scores(found.labels, found.log_probs, CLASSES).under(split).values
    for epoch in range(1, epochs + 1):
        values = {"train/loss": 1 / epoch, "val/accuracy": 0.5, "val/log_loss": 1 / epoch, "cost/train_seconds": 1.0}
        rundir.append_event(Event(epoch, epoch * 4, float(epoch), values))
    rundir.write_predictions(splits, CLASSES)
    rundir.write_evaluation({key: evaluation(s.labels, s.log_probs, CLASSES) for key, s in splits.items()}, CLASSES)
    rundir.model.write_bytes(bytes(MODEL))
    metrics |= {"model/parameters": 1e6, "cost/train_seconds": 1.0}
    environment = {"cpu": "simulated", "cpus": 1}
    rundir.write_result(Result("", metrics, {}, epochs, epochs, 0.0, 1.0, "a network", environment))
    return directory


def _predictions(seed: int) -> Predictions:
    draw = np.random.default_rng(seed)
    labels, logits = draw.integers(0, len(CLASSES), IMAGES), draw.normal(size=(IMAGES, len(CLASSES)))
    logits[np.arange(IMAGES), labels] += 2
    log_probs = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    return Predictions(np.arange(IMAGES).astype(str), labels, log_probs)
