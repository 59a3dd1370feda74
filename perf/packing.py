"""Two one-thread workers against one two-thread worker: runs an hour, for every run of an experiment.

    python perf/packing.py [EXPERIMENT.YAML]

Both arrangements have the same two cores and train the same network on the same batches, in turns.  Runs an hour are
3,600 seconds over the training seconds of the whole run, times the workers.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmark.planned import planned
from benchmark.preparing import Decoded
from benchmark.run import Run
from launch import fast_local
from perf.rounds import piped
from perf.sides import Figure, Side, finish, parser

ROOT = Path(__file__).resolve().parent.parent
ARRANGEMENTS = {"2 × 1 thread": (2, 1), "1 × 2 threads": (1, 2)}
LEAST = 0.9
BATCHES = 8
"""Of training images, gone through again and again."""


def main() -> int:
    """Prints a line for each run; 1 where packing loses by more than noise."""
    options = parser(__doc__)
    options.add_argument("experiment", type=Path, nargs="?", default=ROOT / "experiments.yaml")
    options.add_argument("--seconds", type=float, default=5.0, help="of one measurement")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.worker:
        work(Run.from_json(json.loads(arguments.worker[0])), Path(arguments.worker[1]), arguments.seconds)
        return 0
    data, figures = Decoded(), []
    plan = planned(arguments.experiment, (), Path("results")).plan
    for run in plan.runs:
        images = plan.data[run.data].sizes["train"] * run.epochs
        on_cpu = dataclasses.replace(run, device="cpu")
        rates = measure(on_cpu, data(run), arguments.seconds, arguments.rounds)
        packed, wide = (Side(name, tuple(3600 * each / images for each in found)) for name, found in rates.items())
        figures.append(Figure(run.model, "runs an hour", packed, wide, least=LEAST, better="higher"))
    return finish("packing", figures, arguments.json)


def measure(run: Run, data: Path, seconds: float, rounds: int) -> dict[str, list[float]]:
    """Images per second of each arrangement, in turns."""
    rates: dict[str, list[float]] = {name: [] for name in ARRANGEMENTS}
    for _ in range(rounds):
        for name, (workers, threads) in ARRANGEMENTS.items():
            rates[name].append(images_per_second(run, data, workers, threads, seconds))
    return rates


def images_per_second(run: Run, data: Path, workers: int, threads: int, seconds: float) -> float:
    """Of all workers together."""
    cores = itertools.cycle(sorted(os.sched_getaffinity(0)))  # on a GPU there may be more workers than cores
    shares = [set(itertools.islice(cores, threads)) for _ in range(workers)]
    document = json.dumps(dataclasses.replace(run, threads=threads).to_json())
    processes = [_start(document, data, seconds, share) for share in shares]
    for each in processes:
        assert piped(each.stdout).readline() == "ready\n"
    for each in processes:  # at the same moment
        piped(each.stdin).write("go\n")
        piped(each.stdin).flush()
    return sum(float(each.communicate()[0]) for each in processes)


def _start(document: str, data: Path, seconds: float, cores: set[int]) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--seconds", str(seconds), "--worker", document, str(data)]
    variables = {**fast_local.ALLOCATOR, **os.environ, **fast_local.threads(len(cores))}
    return subprocess.Popen(
        command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip


def work(run: Run, directory: Path, seconds: float) -> None:
    """Trains for so long after the word to go, and prints images per second."""
    from benchmark.training.data import Normalize, Split, load
    from benchmark.training.learner import Learner
    from benchmark.training.outset import choose_device, make_model, set_up

    set_up(run)
    data = load(directory)
    count = min(len(data.train), BATCHES * run.batch_size)
    few = Split(data.train.images[:count], data.train.labels[:count], data.train.ids[:count])
    data = dataclasses.replace(data, train=few)
    device = choose_device(run.device)
    model, normalize = make_model(run, data, device), Normalize(data.mean, data.std, device)
    learner = Learner.of(dataclasses.replace(run, epochs=10**6), data, model, normalize)
    learner.epoch(1)
    print("ready", flush=True)
    sys.stdin.readline()
    started, epochs = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        learner.epoch(2 + epochs)
        epochs += 1
    print(epochs * count / (time.perf_counter() - started))


if __name__ == "__main__":
    sys.exit(main())
