"""Images that are larger than memory allows: memory and speed of reading them from shards, against images in memory.

    python perf/larger_than_memory.py [--side 64] [--images 4000] [--network lenet5]

Each measurement is a process of its own; speeds are medians of five.  They are of two things: an epoch of batches
alone, and one of training, from shards and from the mapped file, both warm in the page cache.  Memory is what the process has
to itself while it trains (anonymous pages; files that are mapped are not in it), for data sets 1, 2, 4 and 8 times as
large; it may grow by a tenth at most, and training from shards may lose a tenth of its speed.  Some five minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMES, REPEATS = (1, 2, 4, 8), 5
MOST_GROWTH, LEAST_SPEED = 1.1, 0.9
LIMIT = "TORCH_IMAGE_BENCHMARK_RESIDENT_BYTES"


def main() -> int:
    """Prints a line a measurement; 1 where memory grows or speed is lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--network", default="lenet5")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options, Path(options.measure[0]), options.measure[1])
    with tempfile.TemporaryDirectory() as scratch:
        places = {many: prepared(options, many, Path(scratch), "1000000") for many in TIMES}
        mapped = prepared(options, 1, Path(scratch) / "mapped", str(10**12))
        fast = all(speed(options, places[1], mapped, what) for what in ("batches", "training"))
        return 0 if memory(options, places) and fast else 1


def speed(options: argparse.Namespace, shards: Path, mapped: Path, what: str) -> bool:
    """Images a second from shards and from memory, alternating, so that a busy neighbour slows both."""
    found = [[run(options, each, what)[0] for each in (shards, mapped)] for _ in range(REPEATS)]
    streamed, resident = (statistics.median(each) for each in zip(*found, strict=True))
    ratio = streamed / resident
    print(f"{what}: {streamed:,.0f} images/s from shards, {resident:,.0f} in memory, ratio {ratio:.2f}", flush=True)
    return ratio >= LEAST_SPEED or what == "batches"


def memory(options: argparse.Namespace, places: dict[int, Path]) -> bool:
    """Private memory while training on data sets of several sizes."""
    peaks = {}
    for many, place in places.items():
        size = sum(path.stat().st_size for path in place.glob("images*"))
        peaks[many] = run(options, place, "training")[1]
        print(f"memory: {size / 1e6:,.0f} MB of images, {peaks[many] / 1e6:.0f} MB of the process", flush=True)
    growth = peaks[TIMES[-1]] / peaks[1]
    print(f"memory: {growth:.2f} times for {TIMES[-1]} times the images (limit {MOST_GROWTH})")
    return growth <= MOST_GROWTH


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
