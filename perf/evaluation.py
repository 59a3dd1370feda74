"""What a run spends on evaluation (validation, test, metrics), on the profile of its speed, and on all but training.

    python perf/evaluation.py                        lenet5 and resnet18, 10 epochs of fashion-mini, five rounds each
    python perf/evaluation.py --models lenet5 --epochs 2 --rounds 1 --guard 0.8

Each run is a whole job (:func:`benchmark.training.job.work`) in a process of its own, with the clocks around its parts:
the training steps of all epochs, evaluation, the profile, and everything, which has the data's loading, checkpoints and
files too.  In host processes a profile is taken once for all runs of a model on images of a size.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmark.data import datasets
from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from launch.fast_local import job_environment
from perf.rounds import as_a_job, cpu_seconds

SIZES = {"lenet5": 28, "resnet18": 32}
SPEC = DataSpec("fashion-mini")
MOST = 0.10
"""Of the CPU seconds of a run, for evaluation and the profile."""
PARTS = ("all", "training", "evaluation", "profile")


def main() -> int:
    """Prints a line a model; 1 where a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--guard", type=float, metavar="SHARE", help="only a larger share than this is a failure")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--job", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        return job()
    as_a_job()
    rows = []
    for model in arguments.models:
        rows.append(row := measure(model, arguments.epochs, arguments.rounds))
        print(line(row), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    most = MOST if arguments.guard is None else arguments.guard
    return 0 if all(row["share"] <= most for row in rows) else 1


@dataclass
class Spent:
    """CPU and wall seconds of one part."""

    cpu: float = 0.0
    wall: float = 0.0

    @contextmanager
    def counting(self) -> Iterator[None]:
        cpu, wall = cpu_seconds(), time.perf_counter()
        yield
        self.cpu += cpu_seconds() - cpu
        self.wall += time.perf_counter() - wall

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            with self.counting():
                return function(*arguments)

        return counted


def measure(model: str, epochs: int, rounds: int) -> dict[str, Any]:
    """Medians over the rounds."""
    with tempfile.TemporaryDirectory() as scratch:
        found = [whole_job(model, epochs, Path(scratch), number) for number in range(rounds)]
    row: dict[str, Any] = {"model": model, "size": SIZES[model], "epochs": epochs, "rounds": rounds}
    for part in PARTS:
        row[part] = {clock: statistics.median(each[part][clock] for each in found) for clock in ("cpu", "wall")}
    row["share"] = statistics.median(
        (each["evaluation"]["cpu"] + each["profile"]["cpu"]) / each["all"]["cpu"] for each in found
    )
    row["beside training"] = statistics.median(1 - each["training"]["cpu"] / each["all"]["cpu"] for each in found)
    return row


def line(row: dict[str, Any]) -> str:
    """For a reader."""
    parts = ", ".join(f"{part} {row[part]['cpu']:.2f} s" for part in PARTS)
    return (
        f"{row['model']} at {row['size']} px, {row['epochs']} epochs, CPU s: {parts}; evaluation and profile "
        f"{100 * row['share']:.1f}% (limit {100 * MOST:.0f}%), all but training {100 * row['beside training']:.1f}%"
    )


def whole_job(model: str, epochs: int, home: Path, number: int) -> dict[str, Any]:
    """Seconds of each part of one job."""
    digest = datasets.inspect(SPEC, home / "cache").digest
    size = SIZES[model]
    data = datasets.prepare(SPEC, image_size=size, channels=1, resize="crop", cache=home / "cache")
    run = Run(
        SPEC, model, data_digest=digest, seed=number, image_size=size, channels=1, epochs=epochs, lr=3e-3, device="cpu"
    )
    rundir = RunDir(home / f"{model}-{number}")
    rundir.path.mkdir()
    rundir.write_run(run)
    variables = job_environment(run, rundir, rundir.attempt(1), data, os.environ)
    command = [sys.executable, __file__, "--job"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def job() -> int:
    """The program of a job, with clocks in it."""
    from benchmark.training import job, loop
    from benchmark.training.learner import Learner

    everything, training, evaluation, profile = (Spent() for _ in PARTS)
    loop.Training.learn = training.around(loop.Training.learn)
    Learner.validate = evaluation.around(Learner.validate)
    for name in ("_predict", "_final_scores", "evaluation"):
        setattr(job, name, evaluation.around(getattr(job, name)))
    job.measure = profile.around(job.measure)
    with everything.counting():
        code = job.main()
    print(json.dumps(dict(zip(PARTS, map(asdict, (everything, training, evaluation, profile)), strict=True))))
    return code


if __name__ == "__main__":
    sys.exit(main())
