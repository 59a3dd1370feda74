"""Thousands of runs through SageMaker, simulated: makespan against the bound, calls, processor time and memory.

    python perf/scale.py                                  1,000 runs, 200 at once
    python perf/scale.py --runs 10000
    python perf/scale.py --quota 120                      the quota is 120 for the first third, then as many as wanted
    python perf/scale.py --keep-alive 600                 warm instances instead of spot
    python perf/scale.py --seconds 60 --places 20 --runs-per-job 18    short runs that share jobs
    python perf/scale.py --runs 60 --places 12 --seconds 200 --guard 1.5

The command is the real one (plan, sweep, launcher, journal, leaderboard) with its usual intervals, and the server is
the rehearsal's; its jobs take a time and leave a real job's files, and nothing is trained.  Both live by one simulated
clock, which waits for whoever is behind (`launch.rehearsal.beat`).  MLflow is left out (`--mlflow`: not), since a
thread of its own feeds it and no job waits for it; `perf/publishing.py` measures it.

The bound is what the same jobs, in the same order, take on so many places that are never empty: start-ups, training,
and what was repeated after interruptions.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from launch import aws_record
from launch.rehearsal import beat
from launch.rehearsal.beat import Beat
from launch.rehearsal.client import Rehearsal
from launch.rehearsal.faults import Faults
from perf.bounds import EPOCHS, Job, bound, interrupted_after
from perf.sides import Figure, Side, finish
from perf.simulated_run import leave

HOME = Path(__file__).resolve().parent
TYPE, IMAGE = "ml.m5.xlarge", "123456789012.dkr.ecr.us-east-1.amazonaws.com/ours:1"
TICK_SECONDS = 0.1
YAML = """name: scale
data: {{source: synthetic, train_size: 120, test_size: 60, classes: 3}}
defaults: {{model: lenet5, epochs: 5, threads: 1}}
matrix: {{lr: {{log: [1e-4, 1e-1], n: {rates}}}, seed: {{linear: [0, 4], n: 5}}}}
launch: {{mode: aws, image: "{image}", profile: false}}
aws: {{bucket: {bucket}, role: "{role}", concurrency: {places}, spot: {spot}, keep_alive: {keep_alive},
  runs_per_job: {runs_per_job}}}
"""
LOOK_SECONDS = 0.2
MOST = 1.1
"""Of the makespan, in bounds."""
CALLS, REQUESTS = 12.0, 40.0
"""Of SageMaker's operations, and of those of S3 and the logs, a run."""
LATE = 0.03
"""A server that makes jobs longer by more than this share is too slow for the clock."""


@dataclass(frozen=True)
class Found:
    """What one simulation came to; seconds are simulated ones but for ``cpu`` and ``wall``."""

    jobs: list[Job]
    seconds: float
    bound: float
    calls: Counter[tuple[str, ...]]
    """Service and operation -> how many."""
    errors: Counter[tuple[str, ...]]
    cpu: float
    server: float
    wall: float
    memory: float
    slow: float
    """How much longer jobs took than they were to: the server was late."""
    still: float
    """The share of time in which the clock stood still for the command's work."""
    results: int

    def of(self, *services: str) -> int:
        """Calls to these services."""
        return sum(count for (service, _), count in self.calls.items() if service in services)


def main() -> int:
    """Prints a line a figure; 1 where a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="a multiple of 5")
    parser.add_argument("--places", type=int, default=200)
    parser.add_argument("--runs-per-job", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=600.0, help="of training a run, in the mean")
    parser.add_argument("--spread", type=float, default=0.5, help="of these, a share up or down")
    parser.add_argument("--startup", type=float, default=120.0)
    parser.add_argument("--spot", type=float, default=0.02, help="the share of jobs that are interrupted")
    parser.add_argument("--throttle", type=float, default=0.01, help="the share of calls to SageMaker")
    parser.add_argument("--quota", type=int, help="instances, for a third of the bound")
    parser.add_argument("--keep-alive", type=int, default=0, help="seconds; without spot")
    parser.add_argument("--speed", type=float, default=50.0, help="simulated seconds in a real one, at most")
    parser.add_argument("--mlflow", action="store_true", help="track the runs, in a file")
    parser.add_argument("--guard", type=float, default=MOST, help="the makespan may be so many bounds")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = simulate(Path(scratch), arguments)
    tell(found, arguments.places)
    return finish("scale", figures(found, arguments), arguments.json)


def simulate(home: Path, chosen: argparse.Namespace) -> Found:
    """One sweep, from the first job to the last result."""
    place, report = home / "beat", home / "report.json"
    beat.make(place, 2)
    options = {
        "speed": chosen.speed, "seconds": chosen.seconds, "spread": chosen.spread, "beat": place,
        "tick-seconds": TICK_SECONDS, "leaves": leave(home / "leaves", EPOCHS),
    }  # fmt: skip
    faults = Faults(
        throttle=chosen.throttle,
        spot=0.0 if chosen.keep_alive else chosen.spot,
        spot_after=interrupted_after(chosen),
        quota={TYPE: chosen.quota} if chosen.quota else {},
    )
    server = Rehearsal(
        home / "server", faults, "simulated", startup_seconds=chosen.startup, mirror_seconds=1.0,
        arguments=["--count-calls", *(f"--{name}={value}" for name, value in options.items())],
    )  # fmt: skip
    with server:
        text = YAML.format(
            rates=chosen.runs // 5, image=IMAGE, bucket=server.bucket, role=server.role, places=chosen.places,
            spot=str(not chosen.keep_alive).lower(), keep_alive=chosen.keep_alive, runs_per_job=chosen.runs_per_job,
        )  # fmt: skip
        (home / "scale.yaml").write_text(text, encoding="utf-8")
        quota = Quota(server, faults, Beat(place, 0, chosen.speed), third(chosen))
        _run(home, server, chosen, report, quota)
        states = server.jobs()
        calls = [each for each in server.counts() if each["by"] == "caller"]
        spent = _cpu(server.pid)
    warm = {each["warm_pool"]["ReusedByJob"] for each in states if "ReusedByJob" in each["warm_pool"]}
    runs = _runs(home / "results/scale/runs")
    jobs = [Job.of(each, runs[each["name"]], warm, chosen) for each in states]
    took = json.loads(report.read_text(encoding="utf-8"))
    return Found(
        jobs=jobs,
        seconds=took["simulated"],
        bound=bound(jobs, chosen.places, (chosen.quota, third(chosen)) if chosen.quota else None),
        calls=_summed(calls, "service", "operation"),
        errors=_summed([each for each in calls if each["error"]], "error"),
        cpu=took["cpu"],
        server=spent,
        wall=took["wall"],
        memory=took["memory"],
        slow=sum(each.seconds for each in jobs) / sum(each.planned for each in jobs) - 1,
        still=took["left out"] / (took["left out"] + took["beats"]),
        results=sum(1 for _ in (home / "results/scale/runs").glob("*/result.json")),
    )


def third(chosen: argparse.Namespace) -> float:
    """Seconds after which a quota is lifted: a third of what all places together would need, without it."""
    return float(chosen.runs * (chosen.startup / chosen.runs_per_job + chosen.seconds) / chosen.places / 3)


class Quota:
    """A limit that is lifted in the middle."""

    def __init__(self, server: Rehearsal, faults: Faults, watch: Beat, at: float) -> None:
        self._server, self._faults, self._watch, self._at = server, faults, watch, at
        self._lifted = not faults.quota

    def __call__(self) -> None:
        if not self._lifted and self._watch.now() >= self._at:
            self._server.set_faults(replace(self._faults, quota={}))
            self._lifted = True


def tell(found: Found, places: int) -> None:
    """What is no figure with a limit."""
    runs, again = found.results, sum(each.attempts - 1 for each in found.jobs)
    warm = sum(each.warm for each in found.jobs)
    print(
        f"{runs:,} results of {len(found.jobs):,} jobs, {again} interruptions, {warm:,} warm starts, {places} at once"
    )
    print(f"{found.seconds:,.0f} simulated seconds in {found.wall:,.0f}; the bound is {found.bound:,.0f}")
    first, last = (find(each.created for each in found.jobs) for find in (min, max))
    ended = max(each.created + each.seconds for each in found.jobs)
    print(
        f"the last job was created {last - first:,.0f} s after the first; all had ended {ended - first:,.0f} s after it"
    )
    print(
        "calls: " + ", ".join(f"{name} {count / runs:.2f}" for (_, name), count in found.calls.most_common()) + " a run"
    )
    print("refused: " + (", ".join(f"{count} {name}" for (name,), count in found.errors.most_common()) or "nothing"))
    print(
        f"the server took {found.server / runs * 1000:.0f} ms of a processor a run, and was {found.slow:.1%} late;",
        end="",
    )
    print(f" the clock stood still for the command {found.still:.0%} of its beats")
    if found.slow > LATE:
        print("THE MACHINE WAS THE LIMIT: take a lower --speed")


def figures(found: Found, chosen: argparse.Namespace) -> list[Figure]:
    """Those with limits, and what a run costs."""
    runs = found.results
    what = f"{chosen.runs:,} runs, {chosen.places} at once"

    def side(name: str, value: float) -> Side:
        return Side(name, (value,))

    figures = [
        Figure(f"makespan of {what}", "times the bound", side("ours", found.seconds / found.bound), most=chosen.guard),
        Figure("makespan", "simulated s", side("ours", found.seconds), side("bound", found.bound)),
        Figure("calls to SageMaker", "a run", side("ours", found.of("sagemaker") / runs), most=CALLS),
        Figure("calls to S3 and the logs", "a run", side("ours", found.of("s3", "logs") / runs), most=REQUESTS),
        Figure("processor of the command", "s a run", side("ours", found.cpu / runs)),
        Figure("memory of the command", "MB", side("ours", found.memory / 1e6)),
    ]
    if chosen.runs_per_job > 1:
        took, alone = (sum(times) / runs for times in ((j.seconds for j in found.jobs), (j.alone for j in found.jobs)))
        figures.append(Figure("time of instances", "simulated s a run", side("ours", took), side("a job each", alone)))
    return figures


def _runs(directory: Path) -> dict[str, list[str]]:
    """The name of a job -> the ids of the runs in it, from what the command keeps of each attempt."""
    found: dict[str, list[str]] = {}
    for path in directory.glob(f"*/attempts/*/{aws_record.FILE}"):
        record = aws_record.Record.read(path.parent)
        assert record is not None
        found[record.name] = [run_id for run_id, _ in record.members] or [path.parents[2].name]
    return found


def _run(
    home: Path, server: Rehearsal, chosen: argparse.Namespace, report: Path, meanwhile: Callable[[], None]
) -> None:
    """The command, in a process of its own."""
    script, tracker = str(HOME / "simulated_command.py"), "mlflow" if chosen.mlflow else "silent"
    command = [sys.executable, script, str(home / "beat"), str(chosen.speed), str(report), tracker]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    variables |= {**server.environment(), "PYTHONPATH": str(HOME.parent), "MLFLOW_TRACKING_URI": ""}
    variables["TORCH_IMAGE_BENCHMARK_CACHE"] = str(home / "cache")  # simulated seconds are nobody's experience
    with (home / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [*command, "run", "scale.yaml", "-y"], cwd=home, env=variables, stdout=output, stderr=output
        )
        try:
            while process.poll() is None:
                time.sleep(LOOK_SECONDS)
                meanwhile()
        finally:
            process.kill()
            process.wait()
    if process.returncode or not report.exists():
        raise SystemExit((home / "output.txt").read_text(encoding="utf-8")[-4000:])


def _summed(calls: Sequence[Mapping[str, Any]], *keys: str) -> Counter[tuple[str, ...]]:
    found: Counter[tuple[str, ...]] = Counter()
    for each in calls:
        found[tuple(each[key] for key in keys)] += each["count"]
    return found


def _cpu(pid: int) -> float:
    """Seconds of a processor that a process has had."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
