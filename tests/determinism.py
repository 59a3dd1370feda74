"""The same bits, whoever trains them and whatever comes between: `reproduce` and its comparison, over an experiment.

    python tests/determinism.py                       the quick experiment, in every way
    python tests/determinism.py --only workers aws

The runs of an undisturbed sweep (mode fast_local, one fresh worker) are compared with those of sweeps by two workers,
forked and fresh, and of one that is killed with all its processes and goes on; and each of them is run again by
`reproduce` in each mode.  Any verdict but "identical" fails.  The tally is printed as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmark.reproducing import compare
from benchmark.rundir import RunDir
from launch.rehearsal.client import Rehearsal
from tests.environment import unmeasured
from tests.killed_experiment import ROOT, cache_in, is_alive, until

QUICK = ROOT / "experiments" / "quick.yaml"
WAYS = ("fork", "workers", "spawn", "interrupted", "fast_local", "local", "aws")
SECONDS = 1800.0
LAUNCH = {
    "alone": "{workers: {count: 1, start: spawn}, profile: false}",
    "fork": "{workers: {count: 1, start: fork}, profile: false}",
    "workers": "{workers: {count: 2, start: fork}, profile: false}",
    "spawn": "{workers: {count: 2, start: spawn}, profile: false}",
    "interrupted": "{workers: {count: 2, start: fork}, profile: false}",
}
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ours:1"


class Ways:
    """Of training the runs of ``yaml``, each in a directory below ``home``."""

    def __init__(self, home: Path, yaml: Path) -> None:
        self._home, self._yaml = home, yaml.read_text(encoding="utf-8")
        self._sweep("alone")
        self.verdicts: dict[str, Counter[str]] = {}

    def sweep(self, way: str) -> None:
        """Compares a sweep in this way with the first."""
        place = self._sweep(way)
        for record in self._runs("alone"):
            self._note(way, _compared(record, RunDir(place / "runs" / record.path.name)))

    def reproduce(self, mode: str) -> None:
        """Runs each run of the first sweep again in ``mode``."""
        server = Rehearsal(self._home / "server", grace=10) if mode == "aws" else nullcontext()
        with server as there:
            text = f"{self._yaml}\nlaunch: {{mode: {mode}, profile: false}}\n"
            variables = {}
            if there is not None:
                variables = {**there.environment(), "SAGEMAKER_ROLE": there.role}
                text = text.replace("mode: aws", f'mode: aws, image: "{IMAGE}"')
                text += f"aws: {{bucket: {there.bucket}, poll_seconds: 0.5}}\n"
            self._write("alone", text)
            for record in self._runs("alone"):
                done = self._begin("alone", "reproduce", record.path.name, "--json", **variables)
                output, said = done.communicate(timeout=SECONDS)
                assert done.returncode in (0, 1), said
                self._note(mode, json.loads(output)["verdict"])

    def _sweep(self, way: str) -> Path:
        home = self._home / way
        home.mkdir()
        self._write(way, f"{self._yaml}\nlaunch: {LAUNCH[way]}\n")
        if way == "interrupted":
            self._interrupt(way)
        done = self._begin(way, "run")
        _, said = done.communicate(timeout=SECONDS)
        assert done.returncode == 0, said
        (place,) = (home / "results").iterdir()
        if way == "interrupted":
            attempts = [RunDir(each).last_attempt for each in (place / "runs").iterdir()]
            assert max(attempts) > 1, "nothing was interrupted"
        return place

    def _interrupt(self, way: str) -> None:
        """Kills the command and its workers in mid-training."""
        process = self._begin(way, "run", BENCHMARK_CHECKPOINT_SECONDS="0")
        pattern = "results/*/runs/*/checkpoint/*.pt"
        assert until(lambda: list((self._home / way).glob(pattern)), SECONDS), "there is no checkpoint"
        process.kill()
        process.communicate()
        pids = [int(path.read_text() or 0) for path in (self._home / way).glob("results/*/runs/*/attempts/*/pid")]
        living = [pid for pid in pids if pid and is_alive(pid)]
        assert living, "nothing was in mid-training"
        for pid in living:
            os.killpg(pid, signal.SIGKILL)

    def _write(self, way: str, text: str) -> None:
        (self._home / way / "experiments.yaml").write_text(text, encoding="utf-8")

    def _begin(self, way: str, *words: str, **variables: str) -> subprocess.Popen[str]:
        environment = {
            **unmeasured(),
            "PYTHONPATH": str(ROOT),
            "TORCH_IMAGE_BENCHMARK_CACHE": str(cache_in(self._home)),
            **variables,
        }
        environment.pop("MLFLOW_TRACKING_URI", None)
        return subprocess.Popen(
            [sys.executable, "-m", "benchmark", *words], cwd=self._home / way, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def _runs(self, way: str) -> Sequence[RunDir]:
        return [RunDir(each) for each in sorted((self._home / way).glob("results/*/runs/*"))]

    def _note(self, way: str, verdict: str) -> None:
        self.verdicts.setdefault(way, Counter())[verdict] += 1


def _compared(record: RunDir, again: RunDir) -> str:
    before, after = record.read_result(), again.read_result()
    assert before is not None, f"{record.path} has no result"
    assert after is not None, f"{again.path} has no result"
    return compare(record, before, again, after).verdict


def tried(home: Path, yaml: Path, ways: Sequence[str]) -> dict[str, Any]:
    """Way -> how often each verdict was given."""
    began, found = time.monotonic(), Ways(home, yaml)
    for way in ways:
        (found.sweep if way in LAUNCH else found.reproduce)(way)
        print(way, dict(found.verdicts[way]), flush=True)
    return {"seconds": round(time.monotonic() - began), **{way: dict(each) for way, each in found.verdicts.items()}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, nargs="?", default=QUICK)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=WAYS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tally = tried(Path(scratch), arguments.experiment, arguments.only)
    print(json.dumps(tally))
    return int(any(set(tally[way]) != {"identical"} for way in arguments.only))


if __name__ == "__main__":
    sys.exit(main())
