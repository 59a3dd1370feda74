"""Start-up of each command against importing torch, in fresh processes: median wall seconds of five.

    python perf/startup.py

Those that look at runs have an experiment of two that have ended before them.  The plan of 10,000 cells is timed, too,
with the memory that commands with a limit take (at most 500 MB).  Caches of data and models are warm.  When `run`
starts its first run is measured by `perf/overhead.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from perf.rounds import ROOT
from perf.sides import Figure, Side, finish, parser

LARGE = """name: large
data: {source: synthetic, train_size: 2000, test_size: 500}
matrix:
  model: [lenet5, resnet18, efficientnet_b0, mobilenetv3_small_100]
  lr: {log: [1e-4, 1e-1], n: 25}
  weight_decay: {linear: [0, 0.1], n: 20}
  seed: {linear: [0, 4], n: 5}
"""
SMALL = """name: small
data: {source: synthetic, train_size: 200, test_size: 100}
defaults: {model: lenet5, epochs: 1}
matrix: {lr: [0.001, 0.01]}
"""
BOARD = "results/small/leaderboard.json"
SHIPPED = str(ROOT / "experiments.yaml")
COMMANDS: dict[str, tuple[tuple[str, ...], float | None]] = {
    "--help": (("--help",), 0.5),
    "validate": (("validate", SHIPPED), 1.0),
    "plan --no-probe": (("plan", "--no-probe", SHIPPED), 1.0),
    "init": (("init", "--force"), 1.0),
    "models": (("models", "resnet18"), 1.0),
    "schema": (("schema",), None),
    "data inspect": (("data", "inspect", "small.yaml"), None),
    "status": (("status", "small.yaml"), None),
    "logs": (("logs", "RUN", "small.yaml"), None),
    "sync": (("sync", "small.yaml"), None),
    "compare": (("compare", "RUN", "OTHER", "small.yaml"), None),
    "diff": (("diff", BOARD, BOARD), None),
    "report": (("report", "small.yaml"), None),
    "doctor": (("doctor", "small.yaml"), None),
    "plan --no-probe, 10,000 cells": (("plan", "--no-probe", "large.yaml"), 5.0),
}
"""What is run, and the seconds that it may take, where somebody has said."""
MOST_BYTES = 500e6
REFERENCE = "import torch"
_STARTER = """
import json, resource, subprocess, sys, time
with open(sys.argv[1], "wb") as output:
    started = time.perf_counter()
    code = subprocess.run(sys.argv[2:], stdout=output, stderr=output).returncode
seconds = time.perf_counter() - started
print(json.dumps([code, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""


def measure(arguments: list[str], home: Path) -> tuple[float, int]:
    """Wall seconds of one fresh process, and the largest bytes that it held.

    A small process starts it: to the kernel, a child has held what its parent held when it was made.
    """
    command = [sys.executable, "-I", "-S", "-c", _STARTER, str(home / "output.txt"), sys.executable, *arguments]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, check=True)
    code, seconds, kilobytes = json.loads(done.stdout)
    if code:
        raise SystemExit((home / "output.txt").read_text())
    return seconds, kilobytes * 1024


def main() -> int:
    """Prints a line a command; 1 where one is too slow, or takes too much."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=5)
    arguments = options.parse_args()
    found: dict[str, list[float]] = {name: [] for name in [*COMMANDS, REFERENCE]}
    largest = 0
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        home = Path(scratch)
        (home / "large.yaml").write_text(LARGE)
        (home / "small.yaml").write_text(SMALL)
        measure(["-m", "benchmark", "run", "small.yaml"], home)
        runs = dict(zip(("RUN", "OTHER"), (each.name for each in (home / "results/small/runs").iterdir()), strict=True))
        commands = {name: ["-m", "benchmark", *(runs.get(word, word) for word in words)]
                    for name, (words, _) in COMMANDS.items()} | {REFERENCE: ["-c", REFERENCE]}  # fmt: skip
        for words in commands.values():
            measure(words, home)  # fills the caches
        for number in range(arguments.rounds):
            for name in commands if number % 2 == 0 else reversed(commands):
                seconds, size = measure(commands[name], home)
                found[name].append(seconds)
                if COMMANDS.get(name, ((), None))[1] is not None:
                    largest = max(largest, size)
    torch = Side(REFERENCE, tuple(found[REFERENCE]))
    figures = [
        Figure(name, "seconds", Side("ours", tuple(found[name])), torch, most=limit)
        for name, (_, limit) in COMMANDS.items()
    ]
    megabytes = Side("the largest of those with a limit", (largest / 1e6,))
    return finish("start-up", [*figures, Figure("memory", "MB", megabytes, most=MOST_BYTES / 1e6)], arguments.json)


if __name__ == "__main__":
    sys.exit(main())
