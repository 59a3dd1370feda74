"""Planned runs and invented results for the tests of reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.records import ClassMetrics, Evaluation, Event, Failure, FailureKind, Predictions, Result
from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from benchmark.training.metrics import scores
from reports.leaderboard import DataSummary, Entry, Header

DIGEST = "6d958be0" * 8
CLASSES = ("cat", "dog", "bird")
DATA = DataSummary("fashion-mini", DIGEST, CLASSES, {"train": 540, "val": 60, "test": 300})
HEADER = Header(
    "tour",
    (DATA,),
    command="python -m benchmark run experiments.yaml",
    commit="4f2c1a9",
    hardware="2 cores",
    workers=2,
    started=0.0,
    finished=341.0,
)


def make_run(model: str = "lenet5", seed: int = 0, digest: str = DIGEST, **keys: Any) -> Run:
    return Run(data=DataSpec(), model=model, data_digest=digest, seed=seed, image_size=28, channels=1, **keys)


def done(
    run: Run,
    accuracy: float | None = 0.8,
    *,
    directory: Path | None = None,
    metrics: Mapping[str, float | None] | None = None,
    undefined: Mapping[str, str] | None = None,
    profile: Mapping[str, float | None] | None = None,
    architecture: str = "LeNet-5",
    notes: tuple[str, ...] = (),
) -> Entry:
    """A finished run; with a directory, one that has its evaluation, its predictions and its epochs."""
    values = {"test/accuracy": accuracy, "val/accuracy": accuracy, **(metrics or {})}
    if directory is not None:
        predictions = predictions_of(confusion_of(accuracy or 0.5))
        own = scores(predictions.labels, predictions.log_probs).under("test").values
        values = {**own, **values}
    environment = {"python": "3.11.9", "torch": "2.14.1", "device": "cpu"}
    result = Result(
        run.run_id, values, undefined or {}, 2, 2, 100.0, 112.5, architecture, environment, notes
    )  # fmt: skip
    if directory is not None:
        write_evidence(directory, accuracy or 0.5)
    return Entry(run, "done", result, None, profile or {}, "ab" * 16, directory)


def failed(
    run: Run,
    kind: FailureKind = "diverged",
    message: str = "the loss is NaN at step 112",
    profile: Mapping[str, float | None] | None = None,
) -> Entry:
    log = f"results/tour/runs/{run.run_id}/attempts/1/log.txt"
    return Entry(run, "failed", None, Failure(kind, message, step=112), profile or {}, log=log)


def pending(run: Run) -> Entry:
    return Entry(run, "pending")


def confusion_of(accuracy: float) -> tuple[tuple[int, int, int], ...]:
    """Of 100 images a class: cats are taken for dogs, dogs for both others, and at last birds for cats."""
    wrong = round(300 * (1 - accuracy))
    cats = min(100, wrong // 2)
    dogs = min(100, wrong - cats)
    birds = wrong - cats - dogs
    return (100 - cats, cats, 0), (dogs // 2, 100 - dogs, dogs - dogs // 2), (birds, 0, 100 - birds)


def predictions_of(confusion: Sequence[Sequence[int]]) -> Predictions:
    """Images in the order of their classes; those of a class that are right come first."""
    pairs = [
        (true, told)
        for true, row in enumerate(confusion)
        for told in sorted(range(len(row)), key=lambda each: each != true)
        for _ in range(row[told])
    ]
    labels, told = np.array(pairs).T
    probabilities = np.full((len(pairs), len(confusion)), 0.3 / len(confusion))
    probabilities[np.arange(len(pairs)), told] += 0.7
    ids = np.array([f"{index:05d}" for index in range(len(pairs))])
    return Predictions(ids, labels, np.log(probabilities).astype(np.float32))


def write_evidence(directory: Path, accuracy: float, classes: tuple[str, ...] = CLASSES) -> None:
    """An evaluation of 100 test images a class, predictions that agree with it, and two epochs."""
    rundir, confusion = RunDir(directory), confusion_of(accuracy)
    per_class = tuple(ClassMetrics(name, 100, 0.8, 0.8, 0.8, 0.9) for name in classes)
    rundir.write_evaluation({"test": Evaluation(confusion, per_class, (), ())}, classes)
    rundir.write_predictions({"test": predictions_of(confusion)}, classes)
    for epoch in (1, 2):
        rundir.append_event(Event(epoch, epoch * 10, 100.0 + epoch, {"val/accuracy": accuracy - 0.2 / epoch}))
