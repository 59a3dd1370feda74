"""Start-up of the light commands against importing torch, in fresh processes: median wall seconds of five.

    python perf/startup.py

The plan of 10,000 cells is timed, too, with the memory that it takes.  Caches of data and models are warm.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LARGE = """name: large
data: {source: synthetic, train_size: 2000, test_size: 500}
matrix:
  model: [lenet5, resnet18, efficientnet_b0, mobilenetv3_small_100]
  lr: {log: [1e-4, 1e-1], n: 25}
  weight_decay: {linear: [0, 0.1], n: 20}
  seed: {linear: [0, 4], n: 5}
"""
COMMANDS = {
    "--help": (["-m", "benchmark", "--help"], 0.5),
    "validate": (["-m", "benchmark", "validate", str(ROOT / "experiments.yaml")], 1.0),
    "plan --no-probe": (["-m", "benchmark", "plan", "--no-probe", str(ROOT / "experiments.yaml")], 1.0),
    "init": (["-m", "benchmark", "init", "--force"], 1.0),
    "models": (["-m", "benchmark", "models", "resnet18"], 1.0),
    "plan --no-probe, 10,000 cells": (["-m", "benchmark", "plan", "--no-probe", "large.yaml"], 5.0),
    "import torch": (["-c", "import torch"], None),
}
"""What is run, and the seconds that it may take."""
MOST_BYTES = 500e6


def measure(arguments: list[str], home: Path) -> tuple[float, int]:
    """Wall seconds of one fresh process, and the largest bytes that it held."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    with (home / "output.txt").open("wb") as output:
        pid = os.posix_spawn(
            sys.executable, [sys.executable, *arguments], variables,
            file_actions=[(os.POSIX_SPAWN_DUP2, output.fileno(), 1), (os.POSIX_SPAWN_DUP2, output.fileno(), 2)],
        )  # fmt: skip
        _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit((home / "output.txt").read_text())
    return time.perf_counter() - started, usage.ru_maxrss * 1024


def main() -> int:
    """Prints a line a command; 1 where one is too slow, or takes too much."""
    kept = True
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        home = Path(scratch)
        (home / "large.yaml").write_text(LARGE)
        for name, (arguments, limit) in COMMANDS.items():
            measure(arguments, home)  # fills the caches
            found = [measure(arguments, home) for _ in range(5)]
            seconds, size = statistics.median(each[0] for each in found), max(each[1] for each in found)
            allowed = "" if limit is None else f" (limit {limit:g} s)"
            print(f"{name}: {seconds:.2f} s{allowed}, {size / 1e6:.0f} MB", flush=True)
            kept = kept and (limit is None or (seconds <= limit and size <= MOST_BYTES))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
