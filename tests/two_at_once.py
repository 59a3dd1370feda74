"""Four orchestrators started together over one experiment, round after round: one works, three say who does.

    python tests/two_at_once.py --rounds 10

In each round the one that holds the experiment is killed once the others have given up; the next round's takes up its
run.  In the end the run has been trained by one attempt, and is in the leaderboard and in MLflow once.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tests.killed_experiment import Experiment, cache_in, until

MANY = 4
BUSY = 3
SECONDS = 240.0
YAML = """
name: tiny
data: {source: synthetic, train_size: 300, test_size: 100, classes: 3}
defaults: {model: lenet5, epochs: 100000}
launch: {profile: false}
"""
SAID = re.compile(
    r"is in use by process (\d+) on (\S+) since (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d); wait for it, or stop it"
)


class Rounds:
    """Of one experiment, whose only run never ends by itself."""

    def __init__(self, home: Path, cache: Path) -> None:
        self._experiment = Experiment(home, cache)
        (home / "experiments.yaml").write_text(YAML)
        assert self._experiment.begin("validate").wait(SECONDS) == 0, self._experiment.output  # fills the cache
        self.tally = {"rounds": 0, "worked": 0, "refused": 0}

    def play(self) -> None:
        """Starts all of them, and kills the one that works."""
        began = time.time()
        started = [self._start(number) for number in range(MANY)]
        try:
            gave_up = until(lambda: sum(each.poll() is not None for each in started) >= MANY - 1, SECONDS)
            assert gave_up, "\n".join(self._said(number) for number in range(MANY))
            (holder,) = [each for each in started if each.poll() is None]
            for number, each in enumerate(started):
                if each is not holder:
                    self._check(self._said(number), each, holder, began)
            assert until(lambda: self._epochs(began) > 0, SECONDS), self._said(started.index(holder))
            assert holder.poll() is None, "the one that held the experiment has ended"
        finally:
            for each in started:
                each.kill()
                each.wait()
        self.tally["rounds"] += 1
        self.tally["worked"] += 1

    def end(self) -> None:
        """After the holder's death the run goes on, in the same attempt, until somebody stops it."""
        runs = list(self._experiment.results.glob("runs/*"))
        attempts = [path for run in runs for path in run.glob("attempts/*")]
        assert (len(runs), len(attempts)) == (1, 1), f"{len(attempts)} attempts at {len(runs)} runs"
        assert len(self._experiment.workers()) == 1, "the run has ended with its orchestrator"
        process = self._experiment.begin()
        assert until(lambda: ": goes on" in self._experiment.output, SECONDS), self._experiment.output
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 130, self._experiment.output
        self._experiment.assert_nothing_is_left()

    def close(self) -> None:
        """Ends the run, where something went wrong."""
        for pid in self._experiment.workers():
            os.killpg(pid, signal.SIGKILL)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        (self._experiment.home / "output.txt").unlink(missing_ok=True)
        process = self._experiment.begin()
        (self._experiment.home / "output.txt").rename(self._experiment.home / f"output-{number}.txt")
        return process

    def _said(self, number: int) -> str:
        return (self._experiment.home / f"output-{number}.txt").read_text(errors="replace")

    def _check(self, said: str, loser: subprocess.Popen[bytes], holder: subprocess.Popen[bytes], began: float) -> None:
        assert loser.returncode == BUSY, f"exit code {loser.returncode}: {said}"
        assert "Traceback" not in said, said
        found = SAID.search(said)
        assert found, f"it does not say who: {said}"
        assert int(found[1]) == holder.pid, f"it says process {found[1]}, and {holder.pid} works"
        assert found[2] == socket.gethostname()
        since = time.mktime(time.strptime(found[3], "%Y-%m-%d %H:%M:%S"))
        assert began - 1 <= since <= time.time(), f"since {found[3]}?"
        self.tally["refused"] += 1

    def _epochs(self, since: float) -> int:
        """How many have ended after ``since``."""
        lines = [
            json.loads(line)
            for path in self._experiment.results.glob("runs/*/checkpoint/events.jsonl")
            for line in path.read_bytes().splitlines()
            if line.endswith(b"}")
        ]
        return sum(each["time"] > since for each in lines)


def play(home: Path, rounds: int) -> dict[str, Any]:
    """So many rounds; the tally."""
    began, found = time.monotonic(), Rounds(home / "кот #1", cache_in(home))
    try:
        for _ in range(rounds):
            found.play()
            print(found.tally, flush=True)
        found.end()
    finally:
        found.close()
    return {**found.tally, "seconds": round(time.monotonic() - began)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(play(Path(scratch), parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
