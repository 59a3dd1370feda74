"""Sweeps that are killed, and what must be true of them in the end.

    python tests/survival.py --kills 500 --seed 1        random kill -9 over sweeps of 12 runs; prints what happened

Real commands, real training, a real MLflow store.  A victim is the orchestrator, its fork server or a worker, at a
random moment; a dead orchestrator is started again.  Every finished sweep is compared with an undisturbed one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EPOCHS = 30
"""So many that most kills hit a run in mid-training."""
ROOT = Path(__file__).resolve().parent.parent
YAML = """
name: tiny
data: {{source: synthetic, train_size: 300, test_size: 100, classes: 3}}
defaults: {{model: lenet5, epochs: {epochs}}}
matrix: {{lr: [3e-3, 1e-3], seed: [{seeds}]}}
launch: {{retries: 100, profile: {profile}, workers: {{count: 2, start: {start}}}}}
"""


@dataclass
class Experiment:
    """One experiment in a directory of its own."""

    home: Path
    cache: Path
    start: str = "fork"
    seeds: int = 6
    epochs: int = 4
    profile: bool = False
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True)
        seeds = ", ".join(map(str, range(self.seeds)))
        profile = str(self.profile).lower()
        text = YAML.format(epochs=self.epochs, seeds=seeds, start=self.start, profile=profile)
        (self.home / "experiments.yaml").write_text(text)

    def begin(self) -> subprocess.Popen[bytes]:
        variables = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TORCH_IMAGE_BENCHMARK_CACHE": str(self.cache),
            "OMP_NUM_THREADS": "1",
            **self.variables,
        }
        variables.pop("MLFLOW_TRACKING_URI", None)
        with (self.home / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "benchmark", "run"],
                cwd=self.home, env=variables, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def finish(self, most: int = 5) -> int:
        """Runs the command until it ends by itself, not by a kill; how often it was started."""
        for number in range(1, most + 1):
            code = self.begin().wait(600)
            if code != -signal.SIGKILL:
                assert code == 0, self.output
                return number
        raise AssertionError(f"killed {most} times")

    @property
    def output(self) -> str:
        return (self.home / "output.txt").read_text(errors="replace")[-5000:]

    @property
    def results(self) -> Path:
        return self.home / "results" / "tiny"

    def workers(self) -> list[int]:
        """The processes of attempts that live."""
        found = []
        for path in self.results.glob("runs/*/attempts/*/pid"):
            text = path.read_text()
            if text and is_alive(int(text)):
                found.append(int(text))
        return found

    def state(self) -> dict[str, Any]:
        """All that must be the same however often something was killed."""
        document = json.loads((self.results / "leaderboard.json").read_text())
        return {"quality": quality(document), "ranks": ranks(document), "mlflow": tracked(self.home / "mlflow.db")}


def quality(document: dict[str, Any]) -> dict[str, Any]:
    """Run id -> its metrics, without time, memory and load."""
    runs = [run for row in document["rows"] for run in row["runs"]]
    assert len({run["run_id"] for run in runs}) == len(runs), "a run is counted twice"
    sections = ("test", "val", "train", "model")
    return {
        run["run_id"]: {k: v for k, v in run["metrics"].items() if k.split("/")[0] in sections} for run in runs
    }  # fmt: skip


def ranks(document: dict[str, Any]) -> list[Any]:
    return [[row["rank"], row["configuration_id"], row["n_seeds"], row["planned_seeds"]] for row in document["rows"]]


def tracked(store: Path) -> dict[str, Any]:
    """Run id -> what MLflow has of it: its values and how often each was logged; nothing may be open or twice."""
    with closing(sqlite3.connect(store)) as database:
        query = (
            "SELECT r.run_uuid, r.status, i.value, (SELECT value FROM tags c WHERE c.run_uuid = r.run_uuid AND "
            "c.key = 'benchmark.commit') FROM runs r JOIN tags i ON i.run_uuid = r.run_uuid AND "
            "i.key = 'benchmark.run_id' WHERE r.lifecycle_stage = 'active'"
        )
        rows = database.execute(query).fetchall()
        assert len({row[2] for row in rows}) == len(rows), "a run is in MLflow twice"
        for uuid, status, run_id, commit in rows:
            assert status == "FINISHED", f"{run_id} is {status} in MLflow ({uuid})"
            assert commit, f"{run_id} is not whole in MLflow"
        (ghosts,) = database.execute(
            "SELECT COUNT(*) FROM runs WHERE lifecycle_stage = 'active' AND status = 'RUNNING'"
        ).fetchone()
        assert ghosts == 0
        return {run_id: _points(database, uuid) for uuid, _, run_id, _ in rows}


def _points(database: sqlite3.Connection, uuid: str) -> list[Any]:
    query = "SELECT key, step, COUNT(*), value FROM metrics WHERE run_uuid = ? GROUP BY key, step ORDER BY key, step"
    changing = ("cost/", "speed/", "epoch/")
    return [
        [key, step, count, None if key.startswith(changing) else value]
        for key, step, count, value in database.execute(query, (uuid,))
    ]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def server_of(orchestrator: int) -> int | None:
    """The fork server of a command."""
    for pid in children(orchestrator):
        try:
            if b"fork_server.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        except OSError:
            continue
    return None


def children(parent: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                yield int(path.parent.name)
        except (OSError, ValueError):
            continue


class Killer:
    """Kills at random until the sweep is done."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.kills: Counter[str] = Counter()

    def sweep(self, experiment: Experiment, most: int) -> int:
        """Runs one sweep to its end, with at most ``most`` kills; how often the command was started."""
        before, starts, process = self.kills.total(), 1, experiment.begin()
        while True:
            try:
                code = process.wait(self._random.uniform(0.05, 2.0))
            except subprocess.TimeoutExpired:
                if self.kills.total() - before < most:
                    self._kill(experiment, process)
                continue
            if code != -signal.SIGKILL:
                assert code == 0, experiment.output
                return starts
            process = experiment.begin()
            starts += 1

    def _kill(self, experiment: Experiment, process: subprocess.Popen[bytes]) -> None:
        role = self._random.choices(["orchestrator", "server", "worker"], [1, 1, 2])[0]
        workers = experiment.workers() if role == "worker" else []
        victim = {
            "orchestrator": process.pid,
            "server": server_of(process.pid),
            "worker": self._random.choice(workers) if workers else None,
        }[role]
        if victim is None:
            return
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.kills[role] += 1


def torment(home: Path, kills: int, seed: int, say: Any = print) -> dict[str, Any]:
    """Sweeps with so many kills in all; raises AssertionError where one differs from the undisturbed one."""
    cache = home / "cache"
    undisturbed = Experiment(home / "undisturbed", cache, epochs=EPOCHS)
    undisturbed.finish()
    wanted, killer, sweeps, starts, began = undisturbed.state(), Killer(seed), 0, 0, time.monotonic()
    assert len(wanted["quality"]) == len(wanted["mlflow"]) == 12
    while killer.kills.total() < kills:
        experiment = Experiment(
            home / f"sweep-{sweeps}", cache, start="spawn" if sweeps % 4 == 3 else "fork", epochs=EPOCHS
        )
        starts += killer.sweep(experiment, kills - killer.kills.total())
        assert experiment.state() == wanted, f"sweep {sweeps} differs"
        sweeps += 1
        say(f"{sweeps} sweeps, {killer.kills.total()} kills: {dict(killer.kills)}, {starts} starts", flush=True)
    return {
        "kills": dict(killer.kills),
        "sweeps": sweeps,
        "starts": starts,
        "runs": 12 * sweeps,
        "seconds": round(time.monotonic() - began),
        "seed": seed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = torment(Path(scratch), arguments.kills, arguments.seed)
    print(json.dumps(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
