"""Sweeps that are killed, and what must be true of them in the end.

    python tests/survival.py --kills 500 --seed 1                    random kill -9 over sweeps of 12 runs
    python tests/survival.py --mode local --kills 100 --seeds 2      the same over sweeps of 4 runs in containers
    python tests/survival.py --mode aws --named                      kill -9 at each named place of this mode

Real commands, real training, a real MLflow server, real containers, and a server that speaks SageMaker's protocol.  A
victim is the orchestrator, its fork server, a worker or a watcher, a container, a training job, or the MLflow server,
at a random moment; a dead orchestrator is started again, and so is MLflow.  Every finished sweep is compared with an
undisturbed one of mode ``fast_local``.  The tally is printed as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmark.failpoints import POINTS
from launch.rehearsal.client import Rehearsal
from tests.killed_experiment import Experiment, Mode, cache_in
from tests.killed_tracker import Tracker
from tests.killer import PAUSES, Killer

EPOCHS: dict[Mode, int] = {"fast_local": 30, "local": 60, "aws": 60}
"""So many that most kills hit a run in mid-training."""
KILLS_A_RUN = 10
"""At most so many hit one sweep, for each of its runs: a machine on which nothing comes to an end shows little."""
LOCAL_ONLY, AWS_ONLY, SHARED_ONLY = "container.", "aws.", "pack."


class Trial:
    """Experiments of one mode, and the state that all of them must come to."""

    def __init__(self, home: Path, mode: Mode, seeds: int, epochs: int, server: Rehearsal | None) -> None:
        self.home, self.mode, self._seeds, self._epochs, self.server = home, mode, seeds, epochs, server
        self._cache = cache_in(home)
        undisturbed = Experiment(home / "undisturbed", self._cache, seeds=seeds, epochs=epochs)
        undisturbed.finish()
        undisturbed.publish()
        self._wanted = undisturbed.state()
        assert len(self._wanted["quality"]) == len(self._wanted["mlflow"]) == self.runs

    @property
    def runs(self) -> int:
        """In each sweep."""
        return 2 * self._seeds

    def experiment(self, name: str, **more: Any) -> Experiment:
        there = {} if self.server is None else {**self.server.environment(), "SAGEMAKER_ROLE": self.server.role}
        bucket = "" if self.server is None else f"s3://{self.server.bucket}/{name}"
        variables = {**there, **more.pop("variables", {})}
        keys = {"seeds": self._seeds, "epochs": self._epochs, "mode": self.mode, "bucket": bucket, **more}
        return Experiment(self.home / name, self._cache, variables=variables, **keys)

    def check(self, experiment: Experiment) -> None:
        """Raises AssertionError where something is lost, twice, different or left over."""
        found = experiment.state()
        different = [key for key in self._wanted if found[key] != self._wanted[key]]
        assert not different, f"{experiment.home.name}: {different} differ"
        experiment.assert_nothing_is_left()
        _, broke, told = (experiment.home / "output.txt").read_text(errors="replace").partition("Traceback")
        assert not broke, f"Traceback{told[:3000]}"
        if self.server is not None:
            living = [job["name"] for job in self.server.jobs() if job["pids"]]
            assert not living, f"jobs are left: {living}"

    def torment(self, kills: int, seed: int, say: Callable[..., None], seconds: float = float("inf")) -> dict[str, Any]:
        """Sweeps with so many random kills in all, none begun after so many seconds; the tally."""
        killer, sweeps, starts, began = Killer(self.mode, seed, self.server), 0, 0, time.monotonic()
        while killer.kills.total() < kills and time.monotonic() < began + seconds:
            start = "spawn" if sweeps % 4 == 3 else "fork"
            # In half of the sweeps each epoch has its checkpoint; in the others most runs are too short for one.
            often = {"variables": {"BENCHMARK_CHECKPOINT_SHARE": "0"}} if sweeps % 2 else {}
            experiment = self.experiment(f"sweep-{sweeps}", start=start, **often)
            with Tracker(experiment.home, self.home) as tracker:
                experiment.variables["MLFLOW_TRACKING_URI"] = tracker.uri
                most = min(kills - killer.kills.total(), KILLS_A_RUN * self.runs)
                starts += killer.sweep(experiment, tracker, most)
                tracker.wait()
                experiment.publish()
            self.check(experiment)
            sweeps += 1
            say(f"{self.mode}: {sweeps} sweeps, {dict(killer.kills)}, {starts} starts", flush=True)
        return {
            "total": killer.kills.total(),
            "kills": dict(killer.kills),
            "sweeps": sweeps,
            "starts": starts,
            "runs": self.runs * sweeps,
            "seconds": round(time.monotonic() - began),
            "seed": seed,
        }

    def named(self, points: list[str], say: Callable[..., None]) -> dict[str, Any]:
        """Kills once at each of these places; the tally."""
        began = time.monotonic()
        for number, point in enumerate(points):
            marker = self.home / f"reached-{number}"
            place = f"{point}:{marker}"
            inside = f'BENCHMARK_CHECKPOINT_SECONDS: "0", BENCHMARK_FAILPOINT: "{place}"'
            variables = {"BENCHMARK_FAILPOINT": place, "BENCHMARK_CHECKPOINT_SECONDS": "0"}
            experiment = self.experiment(f"named-{number}", variables=variables, inside=inside)
            experiment.finish()
            experiment.publish()
            assert marker.exists(), f"nothing reached {point}"
            self.check(experiment)
            say(f"{self.mode}: {point}", flush=True)
        return {"named": len(points), "points": points, "seconds": round(time.monotonic() - began)}


def named_places(mode: Mode) -> list[str]:
    """Those that a launch in ``mode`` comes by; inside of containers nobody is told of one, and random kills do it."""
    others = {"fast_local": (LOCAL_ONLY, AWS_ONLY), "local": (AWS_ONLY, "job."), "aws": (LOCAL_ONLY, "server.")}[mode]
    return [point for point in POINTS if not point.startswith((*others, SHARED_ONLY))]


@contextmanager
def trial(home: Path, mode: Mode, *, seeds: int = 6, epochs: int | None = None) -> Iterator[Trial]:
    """With the server that mode aws needs."""
    with Rehearsal(home / "server", grace=10) if mode == "aws" else nullcontext() as server:
        yield Trial(home, mode, seeds, epochs or EPOCHS[mode], server)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=[*PAUSES], default="fast_local")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--named", nargs="*", metavar="PLACE", help="at these places, or at each named one")
    parser.add_argument("--seeds", type=int, default=6, help="half as many as the runs of a sweep")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=50.0, help="after which no other sweep is begun")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        epochs = None if arguments.named is None else 4
        with trial(Path(scratch), arguments.mode, seeds=arguments.seeds, epochs=epochs) as found:
            tally = (
                found.named(arguments.named or named_places(arguments.mode), print)
                if arguments.named is not None
                else found.torment(arguments.kills, arguments.seed, print, 60 * arguments.minutes)
            )
    tally = {"mode": arguments.mode, **tally}
    print(json.dumps(tally))
    if arguments.json:
        arguments.json.write_text(json.dumps(tally, indent=1))


if __name__ == "__main__":
    main()
