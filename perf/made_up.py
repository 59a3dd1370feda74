"""Thousands of finished runs that nobody trained: journal, files, and MLflow's rows as a sweep leaves them.

plan = made_up(home, configurations=2000)               # the plan; results and journal are in home/results/large
with_files = made_up(home, configurations=40, files=True)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.journal import Journal
from benchmark.plan import Plan
from benchmark.planned import planned
from benchmark.records import Event, Predictions, Result
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.training.evaluate import evaluation
from benchmark.training.metrics import scores

IMAGES, CLASSES, VARIANTS, FEW, EPOCHS = 2_000, 10, 300, 20, 3
NAME = "large"
YAML = """name: large
data: {{source: synthetic, train_size: 2000, test_size: 500, classes: 10}}
defaults: {{epochs: 3}}
matrix:
  model: [lenet5, resnet18, efficientnet_b0, mobilenetv3_small_100]
  lr: {{log: [1e-4, 1e-1], n: {rates}}}
  seed: {{linear: [0, 4], n: 5}}
"""


@dataclass(frozen=True)
class Variant:
    """The files of one made-up run, and its metrics."""

    rundir: RunDir
    metrics: dict[str, float | None]


def made_up(home: Path, configurations: int, *, files: bool = False) -> Plan:
    """The plan of five seeds of each configuration, all of whose runs have ended.

    Args:
        home: gets ``large.yaml`` and the results.
        configurations: a multiple of four.
        files: whether each run has those that a report reads (some hundred different ones, linked).
    """
    yaml = home / f"{NAME}.yaml"
    yaml.write_text(YAML.format(rates=configurations // 4))
    plan = planned(yaml, (), home / "results").plan
    classes = tuple(next(iter(plan.data.values())).classes)
    variants = list(_variants(home, classes, VARIANTS if files else FEW))
    journal = Journal(plan.directory)
    journal._db.execute("PRAGMA synchronous=OFF")
    journal.plan(plan.runs)
    for number, run in enumerate(plan.runs):
        result = _result(run, variants[number % len(variants)], number)
        if files:
            _link(journal.rundir(run), variants[number % len(variants)], run, result)
        journal.end(run, journal.begin(run), None)
        journal.record(run, result, profile(number))
    journal.close()
    return plan


def profile(number: int) -> dict[str, float | None]:
    """The speed of the ``number``-th run."""
    return {"speed/latency_ms_p50": 1.0 + number % 11, "speed/batch_size": 256.0}


def _variants(home: Path, classes: tuple[str, ...], count: int) -> Iterator[Variant]:
    random = np.random.default_rng(0)
    labels, hard = random.integers(0, CLASSES, IMAGES), random.normal(0, 1.5, IMAGES)
    ids = np.arange(IMAGES).astype(str)
    for number in range(count):
        logits = random.normal(size=(IMAGES, CLASSES))
        logits[np.arange(IMAGES), labels] += 2 + number / count - hard
        log_probs = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
        rundir = RunDir(home / "variants" / str(number))
        rundir.write_predictions({"test": Predictions(ids, labels, log_probs)}, classes)
        rundir.write_evaluation({"test": evaluation(labels, log_probs, classes)}, classes)
        for epoch in range(1, EPOCHS + 1):
            rundir.append_event(Event(epoch, epoch * 30, float(epoch), {"val/accuracy": 0.5 + epoch / 10}))
        yield Variant(rundir, scores(labels, log_probs, classes).under("test").values)


def _result(run: Run, variant: Variant, number: int) -> Result:
    metrics = {**variant.metrics, "model/parameters": 1e6, "cost/train_seconds": 1.0 + number % 97}
    return Result(run.run_id, metrics, {}, EPOCHS, EPOCHS, 0.0, 1.0, "a network", {"cpu": "a cpu", "cpus": 2})


def _link(rundir: RunDir, variant: Variant, run: Run, result: Result) -> None:
    rundir.events_path.parent.mkdir(parents=True)
    os.link(variant.rundir.events_path, rundir.events_path)
    for name in ("predictions.npz", "evaluation.json"):
        os.link(variant.rundir.path / name, rundir.path / name)
    rundir.write_run(run)
    rundir.write_result(result)
