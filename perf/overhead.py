"""What a run costs beyond its training: ours against a naive script and against joblib, all in one go.

    python perf/overhead.py --runs 20 100
    python perf/overhead.py --runs 16 --naive 3 --joblib 0 --tiny 0 --guard 20

Overhead of a run = (wall × workers − Σ seconds of the same loops, bare) / runs, with as many bare loops at a time as
there are workers, each on a core of its own and with a job's settings of the allocator; they run before and after ours,
since a machine's speed drifts.  *Ours* is counted from the start of the first run to the end of the command: publishing
to MLflow and the leaderboard are in it.  Caches are warm: a run before it has decoded the images, made MLflow's store
and measured the model's speed.  The *naive script* is a fresh process for each run, which imports everything and logs
value by value to a store that is there, as many at a time as there are workers; *joblib* is a loop of `joblib.Parallel`
over the same function, whose processes import once for all their runs.  *Tiny runs* have one epoch of 1,800 images: of
them the whole time is compared, each side's start included.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmark.data import datasets
from benchmark.run import DataSpec
from launch.fast_local import ALLOCATOR
from perf.rounds import ROOT
from perf.sides import RATIO_GUARD, Figure, Side, finish, parser

MOST_SECONDS, LEAST_RATIO, FIRST_RUN_SECONDS, LEAST_TINY = 0.3, 50.0, 8.0, 20.0
SPEC = DataSpec("synthetic", train_size=2000, test_size=1000)
YAML = """name: {name}
data: {{source: synthetic, train_size: 2000, test_size: 1000}}
defaults: {{model: lenet5, epochs: {epochs}, lr: 3e-3}}
matrix: {{seed: [{seeds}]}}
launch: {{workers: {{count: {workers}, start: {start}}}}}
"""
WARM = 1000
"""Seeds from here on are of runs that only fill caches."""
EACH = "seconds a run beyond its training"


def main() -> int:
    """Prints lines for each number of runs; 1 where a limit is not kept."""
    options = parser(__doc__, guard=RATIO_GUARD)
    options.add_argument("--runs", type=int, nargs="+", default=[20, 100])
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--start", choices=["fork", "spawn"], default="fork")
    options.add_argument("--naive", type=int, default=6, help="runs of the naive script")
    options.add_argument("--joblib", type=int, default=20, help="runs of joblib's loop; 0: none")
    options.add_argument("--tiny", type=int, default=100, help="runs of one epoch; 0: none")
    options.add_argument("--seconds", type=float, default=1.0, help="bare seconds of a run")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), arguments.workers, arguments.start, arguments.seconds)
        figures = bench.measure(arguments.runs, arguments.naive, arguments.joblib)
        if arguments.tiny:
            figures += bench.tiny(arguments.tiny, arguments.naive, arguments.joblib)
    return finish("overhead", figures, arguments.json, arguments.guard)


class Bench:
    """All sides, in one directory."""

    def __init__(self, home: Path, workers: int, start: str, seconds: float) -> None:
        self.home, self.workers, self.start = home, workers, start
        self.cores, self._numbers = sorted(os.sched_getaffinity(0)), itertools.count()
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "TORCH_IMAGE_BENCHMARK_CACHE": str(home / "cache"),
        }
        os.environ.update(self.environment)
        cache = datasets.cache_directory()
        datasets.inspect(SPEC, cache)
        self.data = datasets.prepare(SPEC, image_size=28, channels=1, resize="crop", cache=cache)
        self.epochs = max(1, round(seconds / statistics.median(self.bare(1, range(6)))))
        self.ours(range(WARM, WARM + workers), self.epochs)
        self.naive([WARM - 1], 1)  # makes the store

    def measure(self, runs: Sequence[int], naive: int, joblib: int) -> list[Figure]:
        """What each side takes beyond training, for each number of our runs."""
        ours, firsts = {}, []
        for number in runs:
            before = self.bare(self.epochs, range(number))
            command, first, end = self.ours(range(number), self.epochs)
            bare = statistics.fmean([*before, *self.bare(self.epochs, range(number))])
            ours[number] = (end - first) * self.workers / number - bare
            firsts.append(first - command)
        others = {"naive script": self._over(self.naive, range(naive), self.epochs)}
        if joblib:
            others["joblib"] = self._over(self.joblib, range(WARM, WARM + joblib), self.epochs)
        least = {"naive script": LEAST_RATIO}
        return [
            Figure(f"{number} runs", EACH, Side("ours", (each,)), Side(name, (other,)), MOST_SECONDS, least.get(name))
            for number, each in ours.items()
            for name, other in others.items()
        ] + [Figure("the first run starts", "seconds after the command", Side("ours", tuple(firsts)),
                    most=FIRST_RUN_SECONDS)]  # fmt: skip

    def tiny(self, runs: int, naive: int, joblib: int) -> list[Figure]:
        """Runs of one epoch, from the command to its end; of the other sides as many as are named, and no more."""
        command, _, end = self.ours(range(runs), 1)
        ours = Side("ours", ((end - command) / runs,))
        others = {"naive script": self.naive(range(naive), 1) / naive}
        if joblib:
            others["joblib"] = self.joblib(range(2 * WARM, 2 * WARM + joblib), 1) / joblib
        least = {"naive script": LEAST_TINY}
        return [
            Figure(f"{runs} tiny runs", "seconds a run, all in all", ours, Side(name, (other,)), least=least.get(name))
            for name, other in others.items()
        ]

    def _over(self, side: Callable[[Sequence[int], int], float], seeds: Sequence[int], epochs: int) -> float:
        bare = self.bare(epochs, seeds)
        return (side(seeds, epochs) * self.workers - sum(bare)) / len(seeds)

    def bare(self, epochs: int, seeds: Sequence[int]) -> list[float]:
        """Seconds of each run of the plain loop, as many at a time as there are workers."""
        shares = [seeds[start :: self.workers] for start in range(self.workers)]
        with ThreadPoolExecutor(self.workers) as pool:
            outputs = pool.map(lambda slot: self._plain(slot, epochs, shares[slot]), range(self.workers))
            return [seconds for output in outputs for seconds in json.loads(output)]

    def _plain(self, slot: int, epochs: int, seeds: Sequence[int]) -> str:
        script = [str(ROOT / "perf" / "plain.py"), str(self.data), str(epochs), *map(str, seeds)]
        return self._command(script, self.cores[slot % len(self.cores)], ALLOCATOR)

    def ours(self, seeds: Sequence[int], epochs: int) -> tuple[float, float, float]:
        """When the command, and its first run, was started, and when it ended."""
        name = f"overhead-{next(self._numbers)}"  # an experiment of its own, so that every run is new
        path = self.home / f"{name}.yaml"
        path.write_text(YAML.format(
            name=name, epochs=epochs, seeds=", ".join(map(str, seeds)), workers=self.workers, start=self.start
        ))  # fmt: skip
        started = time.time()
        self._command(["-m", "benchmark", "run", str(path)])
        ended = time.time()
        results = (self.home / "results" / name / "runs").glob("*/result.json")
        return started, min(json.loads(path.read_text())["started"] for path in results), ended

    def naive(self, seeds: Sequence[int], epochs: int) -> float:
        """Seconds of all runs of the naive script, as many at a time as there are workers."""
        script = str(ROOT / "perf" / "naive.py")
        commands = [
            [script, str(self.data), str(epochs), str(seed), str(self.home / "naive" / str(seed)), self._store]
            for seed in seeds
        ]
        started = time.perf_counter()
        with ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(self._command, commands))
        return time.perf_counter() - started

    def joblib(self, seeds: Sequence[int], epochs: int) -> float:
        """Seconds of a loop of joblib's over all runs, with as many processes as there are workers."""
        script = [str(ROOT / "perf" / "by_joblib.py"), str(self.workers), str(self.data), str(epochs)]
        started = time.perf_counter()
        self._command([*script, str(self.home / "joblib"), self._store, *map(str, seeds)])
        return time.perf_counter() - started

    @property
    def _store(self) -> str:
        return f"sqlite:///{self.home}/naive.db"

    def _command(
        self, arguments: Sequence[str], core: int | None = None, variables: Mapping[str, str] | None = None
    ) -> str:
        bind = None if core is None else (lambda: os.sched_setaffinity(0, {core}))
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.home, env={**(variables or {}), **self.environment},
            capture_output=True, text=True, check=False, preexec_fn=bind,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return done.stdout


if __name__ == "__main__":
    sys.exit(main())
