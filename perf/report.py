"""How long `status`, `plan` and `report` (statistics included) of 10,000 finished runs take, and how much memory.

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
from benchmark.records import Event, Predictions, Result
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.training.evaluate import evaluation
from benchmark.training.metrics import scores
from perf.startup import measure

SECONDS = {"status": 2.0, "plan": 5.0, "report": 10.0}
"""Command -> its limit."""
BYTES = 1e9
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
        figures = {command: _figures(command, home) for command in SECONDS}
        page = (home / "results/large/leaderboard.md").stat().st_size
    for command, (seconds, size) in figures.items():
        print(f"{command} of {runs:,} runs: {seconds:.1f} s (limit {SECONDS[command]:g}), ", end="")
        print(f"{size / 1e6:.0f} MB (limit {BYTES / 1e6:.0f})", flush=True)
    print(f"the page has {page / 1e3:,.0f} kB")
    rows = {command: {"seconds": seconds, "bytes": size} for command, (seconds, size) in figures.items()}
    if arguments.json:
        arguments.json.write_text(json.dumps({"runs": runs, "page": page, **rows}))
    return int(any(_is_over(command, *found, arguments.guard) for command, found in figures.items()))


def _figures(command: str, home: Path) -> tuple[float, int]:
    """The least seconds of three, and bytes."""
    words = ["-m", "benchmark", command, "large.yaml"]
    measure(words, home)  # fills the disk's cache, and ours of models
    return min(measure(words, home) for _ in range(3))


def _is_over(command: str, seconds: float, size: int, guard: float) -> bool:
    return seconds > SECONDS[command] * guard or size > BYTES * guard


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
