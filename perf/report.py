"""How long `status`, `plan` and `report` (statistics included) of 10,000 finished runs take, and how much memory.

    python perf/report.py                    2,000 configurations × 5 seeds, 2,000 test images of 10 classes
    python perf/report.py --configurations 40 --guard 2

The runs are made up: results, epochs, evaluations and predictions are files as a sweep leaves them (some hundred
different ones, linked), and the journal has them all.  Each command is a process of its own, run once before it is
measured.  Making the runs takes longer than what is measured.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from perf.made_up import NAME, made_up
from perf.sides import Figure, Side, finish, parser
from perf.startup import measure

SECONDS = {"status": 2.0, "plan": 5.0, "report": 10.0}
"""Command -> its limit."""
BYTES = 1e9


def main() -> int:
    """Prints two lines for each command; 1 where a limit is not kept."""
    options = parser(__doc__, guard="so many times the limits are kept")
    options.add_argument("--configurations", type=int, default=2_000)
    options.add_argument("--rounds", type=int, default=3)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        os.chdir(home)
        runs = len(made_up(home, arguments.configurations, files=True).runs)
        figures = [each for command in SECONDS for each in _figures(command, runs, home, arguments.rounds)]
        page = (home / "results" / NAME / "leaderboard.md").stat().st_size
    figures.append(Figure("the page", "kB", Side("ours", (page / 1e3,))))
    return finish("report", figures, arguments.json, times=arguments.guard or 1.0)


def _figures(command: str, runs: int, home: Path, rounds: int) -> list[Figure]:
    """Seconds and megabytes."""
    words = ["-m", "benchmark", command, f"{NAME}.yaml"]
    measure(words, home)  # fills the disk's cache, and ours of models
    found = [measure(words, home) for _ in range(rounds)]
    seconds = Side("ours", tuple(each for each, _ in found))
    megabytes = Side("ours", tuple(size / 1e6 for _, size in found))
    what = f"{command} of {runs:,} runs"
    return [
        Figure(what, "seconds", seconds, most=SECONDS[command]),
        Figure(f"{what}: memory", "MB", megabytes, most=BYTES / 1e6),
    ]


if __name__ == "__main__":
    sys.exit(main())
