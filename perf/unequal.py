"""A sweep of runs of unequal length against perfect packing: how long workers have nothing to do.

    python perf/unequal.py                       24 runs of 5 to 28 epochs, two workers

Perfect packing is the seconds of all attempts, shared out evenly among the workers, or the longest of them where that
is more.  *Ours* is from the first attempt's start to the last one's end: what it takes longer is workers that wait, for
a next run or, at the end, for each other.  Attempts begin and end when the journal says so; how long each takes beside
its training is measured by `perf/overhead.py`.  The *whole command* is longer by its start and its end, some seconds
whatever the runs take.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from perf.rounds import ROOT
from perf.sides import RATIO_GUARD, Figure, Side, finish, parser

LEAST = 0.95
YAML = """name: unequal-{number}
data: {{source: synthetic, train_size: 2000, test_size: 500}}
defaults: {{model: lenet5}}
matrix: {{epochs: [{epochs}]}}
launch: {{workers: {workers}}}
"""


def main() -> int:
    """Prints two lines; 1 where the limit is not kept."""
    options = parser(__doc__, guard=RATIO_GUARD)
    options.add_argument("--runs", type=int, default=24)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--rounds", type=int, default=3)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = [sweep(Path(scratch), arguments.runs, arguments.workers, each) for each in range(arguments.rounds)]
    ours, whole, perfect = zip(*found, strict=True)
    what = f"{arguments.runs} runs of unequal length, {arguments.workers} workers"
    limit = Side("perfect packing", perfect)
    figures = [
        Figure(what, "seconds", Side("ours", ours), limit, least=LEAST),
        Figure(what, "seconds", Side("the whole command", whole), limit),
    ]
    return finish("unequal", figures, arguments.json, arguments.guard)


def sweep(home: Path, runs: int, workers: int, number: int) -> tuple[float, float, float]:
    """Seconds of a sweep, of its command, and of the same attempts packed perfectly."""
    epochs = ", ".join(str(5 + each) for each in range(runs))
    (home / f"{number}.yaml").write_text(YAML.format(number=number, epochs=epochs, workers=workers))
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "TORCH_IMAGE_BENCHMARK_CACHE": str(home / "cache")}
    command = [sys.executable, "-m", "benchmark", "run", f"{number}.yaml"]
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=home, env=variables, capture_output=True, text=True, check=False)
    whole = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    with closing(sqlite3.connect(home / "results" / f"unequal-{number}" / "journal.db")) as journal:
        attempts = journal.execute("SELECT started, ended FROM attempts").fetchall()
    seconds = [ended - started for started, ended in attempts]
    wall = max(ended for _, ended in attempts) - min(started for started, _ in attempts)
    return wall, whole, max(sum(seconds) / workers, *seconds)


if __name__ == "__main__":
    sys.exit(main())
