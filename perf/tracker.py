"""What a tracker that is slow, dead, hanging or locked costs a sweep: its wall time, and its runs' training seconds.

    python perf/tracker.py
    python perf/tracker.py --runs 4 --rounds 1 --json tracker.json

Real sweeps of LeNet-5 by the real command, tracked by a real MLflow server behind a proxy, and in a SQLite file that
another program may hold.  In each round each fault has its turn beside the same kind of tracker when it is well.
Training: the median over runs and rounds of the ratio to the same run with a tracker that is well, in the same round.
Added: seconds of the whole command over that with a tracker that is well, for each run.  Caches are warm.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.mlflow_support import mlflow_server
from tests.proxy import Proxy, proxied

ROOT = Path(__file__).resolve().parent.parent
MOST_RATIO, MOST_ADDED = 1.05, 5.0
SLOW_SECONDS = 5.0
DEAD = "http://127.0.0.1:9"
YAML = """name: {name}
data: {{source: synthetic, train_size: 2000, test_size: 1000}}
defaults: {{model: lenet5, epochs: {epochs}, lr: 3e-3}}
matrix: {{seed: {{linear: [0, {last}], n: {runs}}}}}
launch: {{workers: {workers}}}
"""


@dataclass(frozen=True)
class Sweep:
    """One command: its seconds, and each seed's seconds of training."""

    wall: float
    training: Mapping[int, float]


@dataclass(frozen=True)
class Cost:
    """What a fault cost: the ratio of training seconds, and seconds added to each run."""

    training: float
    added: float

    @property
    def kept(self) -> bool:
        return self.training <= MOST_RATIO and self.added <= MOST_ADDED


@dataclass(frozen=True)
class Side:
    """A tracker at ``uri``, well or not; ``well`` names what it is compared with."""

    uri: str
    well: str
    fault: Callable[[], AbstractContextManager[None]] = nullcontext


def main() -> int:
    """Prints a line for each fault; 1 where a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), arguments.runs, arguments.workers, arguments.epochs)
        costs = bench.measure(arguments.rounds)
    for name, cost in costs.items():
        print(f"{name:8} training {cost.training:.3f} times (limit {MOST_RATIO}),", end=" ")
        print(f"{cost.added:+.2f} s added to each of {arguments.runs} runs (limit {MOST_ADDED})")
    if arguments.json:
        figures = {name: asdict(cost) for name, cost in costs.items()}
        document = {"runs": arguments.runs, "rounds": arguments.rounds, "workers": arguments.workers}
        arguments.json.write_text(json.dumps({**document, "load": os.getloadavg(), "faults": figures}, indent=1))
    return 0 if all(cost.kept for cost in costs.values()) else 1


class Bench:
    """All sides, in one directory with one MLflow server."""

    def __init__(self, home: Path, runs: int, workers: int, epochs: int) -> None:
        self.home, self.runs, self.workers, self.epochs = home, runs, workers, epochs
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "TORCH_IMAGE_BENCHMARK_CACHE": str(home / "cache"),
        }

    def measure(self, rounds: int) -> dict[str, Cost]:
        server, store = self.home / "server", self.home / "mlflow.db"
        server.mkdir()
        with mlflow_server(server, self.home / "server.log") as address, proxied(address) as proxy:
            sides = _sides(proxy, store)
            for side in (sides["server"], sides["file"]):
                self.sweep("warm", side)  # images, the store and the model's speed
            return _costs(sides, [self.round(number, sides) for number in range(rounds)], self.runs)

    def round(self, number: int, sides: Mapping[str, Side]) -> dict[str, Sweep]:
        names = list(sides) if number % 2 == 0 else list(reversed(sides))  # so that no side is always the first
        found = {}
        for name in names:
            with sides[name].fault():
                found[name] = self.sweep(f"{name}-{number}", sides[name])
            print(f"round {number + 1}, {name}: {found[name].wall:.1f} s", file=sys.stderr, flush=True)
        return found

    def sweep(self, name: str, side: Side) -> Sweep:
        """A new experiment, so that every run is new."""
        path = self.home / f"{name}.yaml"
        path.write_text(YAML.format(
            name=name, epochs=self.epochs, runs=self.runs, last=self.runs - 1, workers=self.workers
        ))  # fmt: skip
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "benchmark", "run", str(path)],
            cwd=self.home, env={**self.environment, "MLFLOW_TRACKING_URI": side.uri},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        wall = time.perf_counter() - start
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return Sweep(wall, self._training(name))

    def _training(self, name: str) -> dict[int, float]:
        found = {}
        for path in (self.home / "results" / name / "runs").glob("*/result.json"):
            seed = json.loads(path.with_name("run.json").read_text())["seed"]
            found[seed] = json.loads(path.read_text())["metrics"]["cost/train_seconds"]
        return found


def _sides(proxy: Proxy, store: Path) -> dict[str, Side]:
    uri = proxy.address

    @contextmanager
    def slow() -> Iterator[None]:
        proxy.delay = SLOW_SECONDS
        yield
        proxy.delay = 0.0

    @contextmanager
    def hanging() -> Iterator[None]:
        proxy.mode = "hang"
        yield
        proxy.mode = "pass"

    @contextmanager
    def locked() -> Iterator[None]:
        with closing(sqlite3.connect(store, isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            yield

    file = f"sqlite:///{store}"
    return {
        "server": Side(uri, "server"),
        "slow": Side(uri, "server", slow),
        "dead": Side(DEAD, "server"),
        "hanging": Side(uri, "server", hanging),
        "file": Side(file, "file"),
        "locked": Side(file, "file", locked),
    }


def _costs(sides: Mapping[str, Side], rounds: list[dict[str, Sweep]], runs: int) -> dict[str, Cost]:
    ratios, added = defaultdict(list), defaultdict(list)
    for found in rounds:
        for name, side in sides.items():
            ours, well = found[name], found[side.well]
            ratios[name] += [ours.training[seed] / seconds for seed, seconds in well.training.items()]
            added[name].append((ours.wall - well.wall) / runs)
    faults = [name for name, side in sides.items() if side.well != name]
    return {name: Cost(statistics.median(ratios[name]), statistics.median(added[name])) for name in faults}


if __name__ == "__main__":
    sys.exit(main())
