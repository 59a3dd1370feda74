"""Sweeps that are told but not run, for the tests of what a person sees."""

from collections.abc import Sequence
from pathlib import Path

from benchmark.progress import Progress
from benchmark.records import Event, Failure, Result
from benchmark.run import DataSpec, Run

RUN = Run(DataSpec("digits"), "lenet5", data_digest="a", epochs=3)
EVENT = Event(2, 20, 0.0, {"val/accuracy": 0.875, "val/log_loss": 0.5, "cost/train_seconds": 12.3})
RESULT = Result(RUN.run_id, {"test/accuracy": 0.8}, {}, 2, 3, 10.0, 25.0, "a network", {})
FAILURE = Failure("error", "loss NaN at step 3", "first\nsecond\nlast line")
LOG = Path("log.txt")
NOON = 1_000_000.0


def progress(runs: Sequence[Run] = (RUN,), workers: int = 1, seconds: float | None = 60.0) -> Progress:
    names = {run.run_id: f"{run.model} · seed {run.seed}" for run in runs}
    return Progress(names, "test/accuracy", len(runs), NOON, runs, workers, lambda run: seconds)


def many(number: int, model: str = "lenet5") -> list[Run]:
    return [Run(DataSpec("digits"), model, data_digest="a", epochs=3, seed=seed) for seed in range(number)]
