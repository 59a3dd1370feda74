"""Training with the variables that every job gives glibc's allocator, against less of them and none.

    python perf/pages.py

With them memory comes in pages of 2 MiB, where the system lets a program ask for that, and is kept between batches.
Each side is a process of its own on one thread, since glibc reads them when a program starts; they take turns.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmark.training.outset import set_up
from launch import fast_local
from perf import training
from perf.rounds import ROOT, in_turns, piped
from perf.sides import Figure, Side, finish, parser

CASES = (("lenet5", 28, 1), ("resnet18", 64, 3), ("mobilenetv3_small_100", 64, 3), ("resnet18", 224, 3))
KEPT = {name: value for name, value in fast_local.ALLOCATOR.items() if name != "GLIBC_TUNABLES"}
SIDES: dict[str, Mapping[str, str]] = {"ours": fast_local.ALLOCATOR, "pages of 4 KiB": KEPT, "glibc's own": {}}


def main() -> int:
    """Prints a line for each case and side."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--cases", type=int, nargs="+", default=range(len(CASES)))
    options.add_argument("--worker", nargs=3, metavar=("MODEL", "SIZE", "CHANNELS"))
    arguments = options.parse_args()
    if arguments.worker:
        model, size, channels = arguments.worker
        work(model, int(size), int(channels))
        return 0
    figures = [figure for case in arguments.cases for figure in measure(*CASES[case], arguments.rounds)]
    return finish("pages", figures, arguments.json)


def measure(model: str, size: int, channels: int, rounds: int) -> list[Figure]:
    """Ours against the other sides: speed, and the most memory."""
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(variables, [model, str(size), str(channels)]))
            for name, variables in SIDES.items()
        }
        mine, *others = in_turns({name: worker.rate for name, worker in workers.items()}, rounds).values()
        most = {name: worker.memory() for name, worker in workers.items()}
    what = f"{model}, {size} px"
    return [
        figure
        for each in others
        for figure in (
            Figure(what, "images a CPU second", mine, each, better="higher"),
            Figure(what, "MB at most", Side("ours", (most["ours"],)), Side(each.name, (most[each.name],))),
        )
    ]


class Worker:
    """A process that trains whenever it is asked to."""

    def __init__(self, variables: Mapping[str, str], case: list[str]) -> None:
        taken = {name: value for name, value in os.environ.items() if name not in fast_local.ALLOCATOR}
        environment = {**taken, **variables, **fast_local.threads(1), "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", *case],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def rate(self) -> float:
        """Images a CPU second of some batches."""
        return self._ask("train")

    def memory(self) -> float:
        """The most that it had, in MB."""
        return self._ask("memory")

    def _ask(self, question: str) -> float:
        print(question, file=piped(self._process.stdin), flush=True)
        return float(piped(self._process.stdout).readline())


def work(model: str, size: int, channels: int) -> None:
    """A worker's life: a line comes in, a number goes out."""
    with tempfile.TemporaryDirectory() as scratch:
        images = training.BATCH * (200 if model == "lenet5" else max(1, 128 // size))
        run, data = training.prepared(model, size, channels, images, Path(scratch))
        set_up(run)
        job = training.ours(run, data)
        for line in sys.stdin:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
            print(training.rate(job) if line == "train\n" else peak, flush=True)


if __name__ == "__main__":
    sys.exit(main())
