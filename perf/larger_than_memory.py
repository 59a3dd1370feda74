"""Images that are larger than memory allows: memory and speed of reading them from shards, against images in memory.

    python perf/larger_than_memory.py [--side 64] [--images 8000] [--network lenet5]

Each measurement is a process of its own, five of each side in turns.  Speed is of two things: an epoch of batches, and
one of training, from shards and from the mapped file, both warm in the page cache.  Memory is what the process has
to itself while it trains (anonymous pages; files that are mapped are not in it), for data sets 1, 2, 4 and 8 times as
large; it may grow by a tenth at most, and training from shards may lose a tenth of its speed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from perf.rounds import ROOT
from perf.sides import Figure, Side, finish, parser

TIMES, REPEATS = (1, 2, 4, 8), 5
MOST_GROWTH, LEAST_SPEED = 1.1, {"batches alone": None, "training": 0.9}
LIMIT = "TORCH_IMAGE_BENCHMARK_RESIDENT_BYTES"


def main() -> int:
    """Prints a line a measurement; 1 where memory grows or speed is lost."""
    options = parser(__doc__)
    options.add_argument("--side", type=int, default=64)
    options.add_argument("--images", type=int, default=8000)
    options.add_argument("--network", default="lenet5")
    options.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.measure:
        return measure(arguments, Path(arguments.measure[0]), arguments.measure[1])
    with tempfile.TemporaryDirectory() as scratch:
        places = {many: prepared(arguments, many, Path(scratch), "1000000") for many in TIMES}
        mapped = prepared(arguments, 1, Path(scratch) / "mapped", str(10**12))
        figures = [speed(arguments, places[1], mapped, what, least) for what, least in LEAST_SPEED.items()]
        figures += memory(arguments, places)
    return finish("larger-than-memory", figures, arguments.json)


def speed(options: argparse.Namespace, shards: Path, mapped: Path, what: str, least: float | None) -> Figure:
    """Images a second from shards and from memory, alternating, so that a busy neighbour slows both."""
    found = [[run(options, each, what)[0] for each in (shards, mapped)] for _ in range(REPEATS)]
    streamed, resident = (tuple(each) for each in zip(*found, strict=True))
    sides = Side("from shards", streamed), Side("in memory", resident)
    return Figure(what, "images a second", *sides, least=least, better="higher")


def memory(options: argparse.Namespace, places: dict[int, Path]) -> list[Figure]:
    """Private memory while training on data sets of several sizes, against the smallest."""
    peaks = {many: Side(f"{many} × the images", (run(options, place, "training")[1] / 1e6,))
             for many, place in places.items()}  # fmt: skip
    least = {TIMES[-1]: 1 / MOST_GROWTH}
    return [Figure("memory while training", "MB", peaks[many], peaks[1], least=least.get(many)) for many in TIMES[1:]]


def prepared(options: argparse.Namespace, many: int, cache: Path, limit: str) -> Path:
    """A prepared directory of ``many`` times the images; what is over ``limit`` bytes is in shards."""
    from benchmark.data.datasets import prepare
    from benchmark.run import DataSpec

    os.environ[LIMIT] = limit
    spec = DataSpec("synthetic", train_size=many * options.images, test_size=10, size=options.side, planes=3)
    return prepare(spec, image_size=options.side, channels=3, resize="crop", cache=cache)


def run(options: argparse.Namespace, place: Path, what: str) -> tuple[float, int]:
    """Images a second and bytes of one process."""
    # A file is mapped where the limit lets it; shards are always read.
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", LIMIT: str(10**12)}
    given = ["--side", str(options.side), "--images", str(options.images), "--network", options.network]
    command = [sys.executable, __file__, *given, "--measure", str(place), what]
    answer = subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout.split()
    return float(answer[0]), int(answer[1])


def measure(options: argparse.Namespace, place: Path, what: str) -> int:
    """Prints images a second and the largest number of private bytes."""
    import torch

    from benchmark.run import DataSpec, Run
    from benchmark.training.data import Normalize, batches, epoch_order, load
    from benchmark.training.loop import Learner
    from benchmark.training.outset import make_model

    torch.set_num_threads(1)
    data = load(place)
    normalize = Normalize(data.mean, data.std)
    learner = None
    if what == "training":
        keys = {"image_size": options.side, "channels": 3, "batch_size": 64}
        training = Run(DataSpec(), options.network, data.digest, **keys)
        learner = Learner.of(training, data, make_model(training, data, torch.device("cpu")), normalize)
    with Peak() as peak:
        started = time.perf_counter()
        if learner:
            learner.epoch(1)
        else:
            for _ in batches(data.train, 64, normalize, order=epoch_order(len(data.train), 0, 1), drop_single=True):
                pass
        seconds = time.perf_counter() - started
    print(len(data.train) / seconds, peak.bytes)
    return 0


class Peak:
    """The most anonymous memory that this process has within a block, looked at a hundred times a second."""

    def __init__(self) -> None:
        self.bytes, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            self.bytes = max(
                self.bytes, *(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
            )
            if self._over.wait(0.01):
                return


if __name__ == "__main__":
    sys.exit(main())
