"""How long a report of 10,000 runs takes, and how much memory: `python -m benchmark report`, statistics included.

    python perf/report.py                    2,000 configurations × 5 seeds, 2,000 test images of 10 classes
    python perf/report.py --configurations 40 --guard 2

The runs are made up: results, epochs, evaluations and predictions are files as a sweep leaves them (some hundred
different ones, linked), and the journal has them all.  Making them takes longer than what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmark.journal import Journal
from benchmark.planned import planned
from benchmark.run import Run
from benchmark.rundir import Event, Predictions, Result, RunDir
from benchmark.training.evaluate import evaluation
from benchmark.training.metrics import scores
from perf.startup import measure

SECONDS, BYTES = 10.0, 1e9
"""The limits."""
IMAGES, CLASSES, VARIANTS, EPOCHS = 2_000, 10, 300, 3
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


def main() -> int:
    """Prints one line; 1 where a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configurations", type=int, default=2_000)
    parser.add_argument("--guard", type=float, default=1.0, help="so many times the limits are kept")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        os.chdir(home)
        (home / "large.yaml").write_text(YAML.format(rates=arguments.configurations // 4))
        runs = make(home)
        command = ["-m", "benchmark", "report", "large.yaml"]
        measure(command, home)  # fills the disk's cache
        seconds, size = min(measure(command, home) for _ in range(3))
        page = (home / "results/large/leaderboard.md").stat().st_size
    told = (
        f"report of {runs:,} runs: {seconds:.1f} s (limit {SECONDS:g}), {size / 1e6:.0f} MB (limit {BYTES / 1e6:.0f})"
    )
    print(f"{told}; page of {page / 1e3:,.0f} kB", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"runs": runs, "seconds": seconds, "bytes": size, "page": page}))
    return 0 if seconds <= SECONDS * arguments.guard and size <= BYTES * arguments.guard else 1


def make(home: Path) -> int:
    """The results of every run of the experiment; how many there are."""
    plan = planned(home / "large.yaml", (), home / "results").plan
    classes = tuple(next(iter(plan.data.values())).classes)
    variants = list(_variants(home, classes))
    journal = Journal(plan.directory)
    journal._db.execute("PRAGMA synchronous=OFF")
    journal.plan(plan.runs)
    for number, run in enumerate(plan.runs):
        _finish(journal, run, variants[number % VARIANTS], number)
    journal.close()
    return len(plan.runs)


def _variants(home: Path, classes: tuple[str, ...]) -> Iterator[Variant]:
    random = np.random.default_rng(0)
    labels, hard = random.integers(0, CLASSES, IMAGES), random.normal(0, 1.5, IMAGES)
    ids = np.arange(IMAGES).astype(str)
    for number in range(VARIANTS):
        logits = random.normal(size=(IMAGES, CLASSES))
        logits[np.arange(IMAGES), labels] += 2 + number / VARIANTS - hard
        log_probs = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
        rundir = RunDir(home / "variants" / str(number))
        rundir.write_predictions({"test": Predictions(ids, labels, log_probs)}, classes)
        rundir.write_evaluation({"test": evaluation(labels, log_probs, classes)}, classes)
        for epoch in range(1, EPOCHS + 1):
            rundir.append_event(Event(epoch, epoch * 30, float(epoch), {"val/accuracy": 0.5 + epoch / 10}))
        yield Variant(rundir, scores(labels, log_probs, classes).under("test").values)


def _finish(journal: Journal, run: Run, variant: Variant, number: int) -> None:
    rundir = journal.rundir(run)
    rundir.events_path.parent.mkdir(parents=True)
    os.link(variant.rundir.events_path, rundir.events_path)
    for name in ("predictions.npz", "evaluation.json"):
        os.link(variant.rundir.path / name, rundir.path / name)
    metrics = {**variant.metrics, "model/parameters": 1e6, "cost/train_seconds": 1.0 + number % 97}
    result = Result(run.run_id, metrics, {}, EPOCHS, EPOCHS, 0.0, 1.0, "a network", {"cpu": "a cpu", "cpus": 2})
    rundir.write_run(run)
    rundir.write_result(result)
    journal.end(run, journal.begin(run), None)
    journal.record(run, result, {"speed/latency_ms_p50": 1.0 + number % 11, "speed/batch_size": 256.0})


if __name__ == "__main__":
    sys.exit(main())
