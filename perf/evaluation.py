"""What a run spends on evaluation (validation, test, metrics), on the profile of its speed, and on all but training.

    python perf/evaluation.py                        lenet5 and resnet18, 10 epochs of fashion-mini, five rounds each
    python perf/evaluation.py --models lenet5 --epochs 2 --rounds 1 --guard 0.8

Each run is a whole job (`benchmark.training.job.work`) in a process of its own, with clocks around its parts, in CPU
seconds after imports: the training steps of all epochs; evaluation and the profile; and the whole run, which also loads
data and writes checkpoints and files.  `fashion-mini` has 5,400 images to train, 600 to validate after each epoch and
2,000 to test once.  In host processes a profile is taken once for all runs of a model on images of a size.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmark.data import datasets
from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from launch.fast_local import job_environment
from perf.rounds import as_a_job, cpu_seconds
from perf.sides import Figure, Side, finish, parser

SIZES = {"lenet5": 28, "resnet18": 32}
SPEC = DataSpec("fashion-mini")
MOST = 10.0
"""Percent of the CPU seconds of a run, for evaluation and the profile."""
PARTS = ("all", "training", "evaluation", "profile")
NAMES = {"the whole run": "all", "its training alone": "training"}


def main() -> int:
    """Prints two lines a model; 1 where a limit is not kept."""
    options = parser(__doc__, guard="only a larger share of evaluation and profile than this is a failure")
    options.add_argument("--models", nargs="+", default=list(SIZES), choices=list(SIZES))
    options.add_argument("--epochs", type=int, default=10)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--job", action="store_true", help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.job:
        return job()
    as_a_job()
    figures = [each for model in arguments.models for each in measure(model, arguments.epochs, arguments.rounds)]
    times = 1.0 if arguments.guard is None else 100 * arguments.guard / MOST
    return finish("evaluation", figures, arguments.json, times=times)


@dataclass
class Spent:
    """CPU seconds of one part."""

    cpu: float = 0.0

    @contextmanager
    def counting(self) -> Iterator[None]:
        before = cpu_seconds()
        yield
        self.cpu += cpu_seconds() - before

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            with self.counting():
                return function(*arguments)

        return counted


def measure(model: str, epochs: int, rounds: int) -> list[Figure]:
    """The whole run beside its training, and the share of evaluation and profile."""
    with tempfile.TemporaryDirectory() as scratch:
        found = [whole_job(model, epochs, Path(scratch), number) for number in range(rounds)]
    what = f"{model}, {SIZES[model]} px, {epochs} epochs"
    whole, training = (Side(name, tuple(each[part] for each in found)) for name, part in NAMES.items())
    shares = tuple(100 * (each["evaluation"] + each["profile"]) / each["all"] for each in found)
    return [
        Figure(what, "CPU seconds", whole, training),
        Figure(f"{what}: evaluation and profile", "% of the CPU seconds", Side("ours", shares), most=MOST),
    ]


def whole_job(model: str, epochs: int, home: Path, number: int) -> dict[str, float]:
    """CPU seconds of each part of one job."""
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
    return dict(json.loads(done.stdout.splitlines()[-1]))


def job() -> int:
    """The program of a job, with clocks in it."""
    from benchmark.training import job, loop, whole
    from benchmark.training.learner import Learner

    everything, training, evaluation, profile = (Spent() for _ in PARTS)
    loop.Training.learn = training.around(loop.Training.learn)
    Learner.validate = evaluation.around(Learner.validate)
    for name in ("_predict", "_final_scores", "evaluation"):
        setattr(whole, name, evaluation.around(getattr(whole, name)))
    job.measure = profile.around(job.measure)
    with everything.counting():
        code = job.main()
    spent = (everything, training, evaluation, profile)
    print(json.dumps({part: each.cpu for part, each in zip(PARTS, spent, strict=True)}))
    return code


if __name__ == "__main__":
    sys.exit(main())
