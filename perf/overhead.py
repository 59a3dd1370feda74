"""What a run costs beyond its training: ours against a naive script, both sides in one go.

    python perf/overhead.py --runs 20 100

Overhead of a run = (wall × workers − Σ seconds of the same loops, bare) / runs, with as many bare loops at a time as
there are workers, each on a core of its own; they run before and after ours, since a machine's speed drifts.  Ours is
counted from the start of the first run to the end of the command: publishing to MLflow and the leaderboard are in it.
Caches are warm: a run before it has decoded the images, made MLflow's store and measured the model's speed.  The naive
script gets a store that is there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmark.data import datasets
from benchmark.run import DataSpec

ROOT = Path(__file__).resolve().parent.parent
MOST_SECONDS, LEAST_RATIO, FIRST_RUN_SECONDS = 0.5, 30.0, 10.0
SPEC = DataSpec("synthetic", train_size=2000, test_size=1000)
YAML = """name: {name}
data: {{source: synthetic, train_size: 2000, test_size: 1000}}
defaults: {{model: lenet5, epochs: {epochs}, lr: 3e-3}}
matrix: {{seed: [{seeds}]}}
launch: {{workers: {{count: {workers}, start: {start}}}}}
"""
EXPERIMENT = "overhead"


def main() -> int:
    """Prints a line for each number of runs; 1 where a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--start", choices=["fork", "spawn"], default="fork")
    parser.add_argument("--naive", type=int, default=6, help="runs of the naive script")
    parser.add_argument("--seconds", type=float, default=1.0, help="bare seconds of a run")
    parser.add_argument("--guard", type=float, metavar="RATIO", help="only a smaller ratio than this is a failure")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = Bench(Path(scratch), arguments.workers, arguments.start, arguments.seconds).measure(
            arguments.runs, arguments.naive
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))
    kept = figures["kept"] if arguments.guard is None else figures["ratio"] >= arguments.guard
    return 0 if kept else 1


class Bench:
    """Both sides, in one directory."""

    def __init__(self, home: Path, workers: int, start: str, seconds: float) -> None:
        self.home, self.workers, self.start = home, workers, start
        self.cores = sorted(os.sched_getaffinity(0))
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

    def measure(self, runs: Sequence[int], naive: int) -> dict[str, Any]:
        self.ours(range(1000, 1000 + self.workers))
        self.naive([999])  # makes the store
        rows, kept = [], True
        for number in runs:
            before = self.bare(self.epochs, range(number))
            first, wall = self.ours(range(number))
            bare = statistics.fmean([*before, *self.bare(self.epochs, range(number))])
            ours = wall * self.workers / number - bare
            rows.append({"runs": number, "overhead": ours, "bare": bare, "first": first})
            print(f"{number} runs of {bare:.2f} s: {ours:.2f} s a run over the bare loop", end="")
            print(f" (limit {MOST_SECONDS}); first run after {first:.1f} s (limit {FIRST_RUN_SECONDS:.0f})", flush=True)
            kept = kept and ours <= MOST_SECONDS and first <= FIRST_RUN_SECONDS
        seeds = range(naive)
        bare = self.bare(self.epochs, seeds)
        theirs = (self.naive(seeds) * self.workers - sum(bare)) / naive
        ratio = theirs / max(row["overhead"] for row in rows)
        print(f"naive: {theirs:.2f} s a run ({naive} runs), {ratio:.0f} times ours (limit {LEAST_RATIO:.0f})")
        figures = {"rows": rows, "naive": theirs, "ratio": ratio, "workers": self.workers}
        return {**figures, "kept": kept and ratio >= LEAST_RATIO}

    def bare(self, epochs: int, seeds: Sequence[int]) -> list[float]:
        """Seconds of each run of the plain loop, as many at a time as there are workers."""
        shares = [seeds[start :: self.workers] for start in range(self.workers)]
        with ThreadPoolExecutor(self.workers) as pool:
            outputs = pool.map(lambda slot: self._plain(slot, epochs, shares[slot]), range(self.workers))
            return [seconds for output in outputs for seconds in json.loads(output)]

    def _plain(self, slot: int, epochs: int, seeds: Sequence[int]) -> str:
        script = [str(ROOT / "perf" / "plain.py"), str(self.data), str(epochs), *map(str, seeds)]
        return self._command(script, self.cores[slot % len(self.cores)])

    def ours(self, seeds: Sequence[int]) -> tuple[float, float]:
        """Seconds from the command to the first run's start, and from there to the end of the command."""
        # Each seed range is an experiment of its own, so that every run is new.
        name = f"{EXPERIMENT}-{len(seeds)}"
        path = self.home / f"{name}.yaml"
        path.write_text(YAML.format(
            name=name, epochs=self.epochs, seeds=", ".join(map(str, seeds)), workers=self.workers, start=self.start
        ))  # fmt: skip
        started = time.time()
        self._command(["-m", "benchmark", "run", str(path)])
        ended = time.time()
        results = (self.home / "results" / name / "runs").glob("*/result.json")
        first = min(json.loads(path.read_text())["started"] for path in results)
        return first - started, ended - first

    def naive(self, seeds: Sequence[int]) -> float:
        """Seconds of all runs of the naive script, as many at a time as there are workers."""
        uri = f"sqlite:///{self.home}/naive.db"
        script = str(ROOT / "perf" / "naive.py")
        commands = [
            [script, str(self.data), str(self.epochs), str(seed), str(self.home / "naive" / str(seed)), uri]
            for seed in seeds
        ]
        started = time.perf_counter()
        with ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(self._command, commands))
        return time.perf_counter() - started

    def _command(self, arguments: Sequence[str], core: int | None = None) -> str:
        bind = None if core is None else (lambda: os.sched_setaffinity(0, {core}))
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.home, env=self.environment, capture_output=True, text=True,
            check=False, preexec_fn=bind,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return done.stdout


if __name__ == "__main__":
    sys.exit(main())
