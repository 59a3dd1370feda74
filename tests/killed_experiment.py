"""One experiment in a directory of its own, in any mode, whose command and processes may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmark.rundir import RunDir
from launch import containers
from launch.local import _digest
from tests import killed_state
from tests.environment import unmeasured
from tests.warm import warm

ROOT = Path(__file__).resolve().parent.parent
GONE_SECONDS = 20.0
"""After a sweep's end, so long until nothing of it may be left."""
YAML = """
name: tiny
data: {{source: synthetic, train_size: 300, test_size: 100, classes: 3}}
defaults: {{model: lenet5, epochs: {epochs}}}
matrix: {{lr: [3e-3, 1e-3], seed: [{seeds}]}}
launch: {{mode: {mode}, retries: 100, profile: {profile}, workers: {{count: 2, start: {start}}}{more}}}
"""
AWS = """
aws: {{bucket: {bucket}, poll_seconds: 0.5, concurrency: 2{extra}}}
"""
IMAGE = ', image: "123456789012.dkr.ecr.us-east-1.amazonaws.com/ours:1"'
Mode = Literal["fast_local", "local", "aws"]


@dataclass
class Experiment:
    """Args:
    home: the directory, which is made.
    bucket: for mode aws.
    inside: variables of the jobs' own in mode aws.
    """

    home: Path
    cache: Path
    start: str = "fork"
    seeds: int = 6
    epochs: int = 4
    profile: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    mode: Mode = "fast_local"
    bucket: str = ""
    inside: str = ""

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True)
        warm(self.cache)
        text = YAML.format(
            mode=self.mode, epochs=self.epochs, seeds=", ".join(map(str, range(self.seeds))), start=self.start,
            profile=str(self.profile).lower(), more=IMAGE if self.mode == "aws" else "",
        )  # fmt: skip
        if self.mode == "aws":
            extra = f", extra: {{Environment: {{{self.inside}}}}}" if self.inside else ""
            text += AWS.format(bucket=self.bucket, extra=extra)
        (self.home / "experiments.yaml").write_text(text)

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """Starts the command, ``run`` unless ``words`` say something else."""
        command = words or ("run", *(["-y"] if self.mode == "aws" else []))
        return self.begin_program("-m", "benchmark", *command)

    def begin_program(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts Python with these arguments."""
        variables = {
            **unmeasured(),
            "PYTHONPATH": str(ROOT),
            "TORCH_IMAGE_BENCHMARK_CACHE": str(self.cache),
            "OMP_NUM_THREADS": "1",
        }
        variables.pop("MLFLOW_TRACKING_URI", None)
        with (self.home / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *arguments], cwd=self.home, env=variables | self.variables,
                stdout=output, stderr=output, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def finish(self, most: int = 5) -> int:
        """Runs the command until it ends by itself, not by a kill; how often it was started."""
        for number in range(1, most + 1):
            code = self.begin().wait(600)
            if code != -signal.SIGKILL:
                assert code == 0, self.output
                return number
        raise AssertionError(f"killed {most} times")

    def publish(self) -> None:
        """What MLflow did not take in time."""
        if "does not have everything yet" in self.output:
            assert self.begin("sync").wait(300) == 0, self.output

    @property
    def output(self) -> str:
        return (self.home / "output.txt").read_text(errors="replace")[-5000:]

    @property
    def results(self) -> Path:
        return self.home / "results" / "tiny"

    def workers(self) -> list[int]:
        """The processes of attempts that live on this machine: workers, or watchers of containers."""
        found = []
        for path in self.results.glob("runs/*/attempts/*/pid"):
            text = path.read_text()
            if text and is_alive(int(text)):
                found.append(int(text))
        return found

    def containers(self) -> list[str]:
        """Those of this experiment."""
        runs = [_digest(RunDir(path)) for path in self.results.glob("runs/*")]
        return [name for run in runs for name in containers.named(containers.RUN, run)]

    def state(self) -> dict[str, Any]:
        """All that must be the same however often something was killed."""
        return killed_state.state(self.results, self.home / "mlflow.db")

    def assert_nothing_is_left(self) -> None:
        """No process that works in our directory, and no container; some processes take a moment to end."""
        if not until(lambda: not processes_in(self.home), GONE_SECONDS):
            left = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes_in(self.home)]
            raise AssertionError(f"processes are left: {left}")
        if self.mode == "local":
            assert self.containers() == [], "containers are left"
            copies = [
                path for path in self.results.glob("runs/*/attempts/*/*") if path.is_dir() and path.name != "config"
            ]
            assert copies == [], f"directories of dead watchers are left: {copies}"


def cache_in(home: Path) -> Path:
    """The user's own cache, which may be warm, where one is named; else one in ``home``."""
    return Path(os.environ.get("TORCH_IMAGE_BENCHMARK_CACHE") or home / "cache")


def until(happens: Callable[[], object], seconds: float) -> bool:
    """Whether it happened in time."""
    deadline = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def processes_in(home: Path) -> list[int]:
    """Those whose working directory is ``home`` or lies in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            place = path.readlink()
        except OSError:
            continue
        if (place == home or home in place.parents) and is_alive(int(path.parent.name)):
            found.append(int(path.parent.name))
    return found


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
