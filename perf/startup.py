"""Start-up of the light commands against importing torch, in fresh processes: median wall seconds of five.

python perf/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {
    "--help": ["-m", "benchmark", "--help"],
    "plan": ["-m", "benchmark", "plan", str(ROOT / "experiments.yaml")],
    "models": ["-m", "benchmark", "models", "resnet18"],
    "import torch": ["-c", "import torch"],
}
LIMIT = 0.5
"""Seconds that --help may take."""


def seconds(arguments: list[str]) -> float:
    """Wall time of one fresh process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> int:
    """Prints a line a command; 1 where --help is too slow."""
    medians = {}
    for name, arguments in COMMANDS.items():
        seconds(arguments)  # fills the caches
        medians[name] = statistics.median(seconds(arguments) for _ in range(5))
        print(f"{name}: {medians[name]:.2f} s")
    return 0 if medians["--help"] <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
