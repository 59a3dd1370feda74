"""Kill -9 at random moments: who is hit in which mode, and how."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from typing import Any

from launch.rehearsal.client import Rehearsal
from tests.killed_experiment import Experiment, Mode, server_of
from tests.killed_tracker import Tracker

AWAY_SECONDS = 3.0
"""At most so long MLflow is away."""
PAUSES: dict[Mode, tuple[float, float]] = {"fast_local": (0.05, 3.0), "local": (0.5, 6.0), "aws": (0.5, 5.0)}
"""Seconds between two kills; a container takes some to begin."""
VICTIMS: dict[Mode, dict[str, int]] = {
    "fast_local": {"orchestrator": 2, "server": 1, "worker": 4, "mlflow": 1},
    "local": {"orchestrator": 2, "server": 1, "watcher": 2, "container": 2, "mlflow": 1},
    "aws": {"orchestrator": 2, "job": 2, "mlflow": 1},
}
"""How often each is chosen, of a mode's victims."""


class Killer:
    """Kills at random until the sweep is done."""

    def __init__(self, mode: Mode, seed: int, server: Rehearsal | None = None) -> None:
        self._mode, self._random, self._server = mode, random.Random(seed), server
        self.kills: Counter[str] = Counter()

    def sweep(self, experiment: Experiment, tracker: Tracker, most: int) -> int:
        """Runs one sweep to its end, with at most ``most`` kills; how often the command was started."""
        before, starts, process = self.kills.total(), 1, experiment.begin()
        while True:
            tracker.tend()
            try:
                code = process.wait(self._random.uniform(*PAUSES[self._mode]))
            except subprocess.TimeoutExpired:
                if self.kills.total() - before < most:
                    self._kill(experiment, tracker, process)
                continue
            if code != -signal.SIGKILL:
                assert code == 0, experiment.output
                return starts
            process = experiment.begin()
            starts += 1

    def _kill(self, experiment: Experiment, tracker: Tracker, process: subprocess.Popen[bytes]) -> None:
        """Hits one that lives; who was not hit yet comes first, the others as often as they are to be chosen."""
        ways: dict[str, Callable[[], bool]] = {
            "orchestrator": lambda: _end(process.pid),
            "server": lambda: _end(server_of(process.pid)),
            "worker": lambda: _end(self._one_of(experiment.workers())),
            "watcher": lambda: _end(self._one_of(experiment.workers())),
            "container": lambda: _end_container(self._one_of(experiment.containers())),
            "job": lambda: _end(self._one_of(self._jobs())),
            "mlflow": lambda: self._end_tracker(tracker),
        }
        chances = {role: self._random.random() ** (1 / often) for role, often in VICTIMS[self._mode].items()}
        for role in sorted(chances, key=lambda role: (self.kills[role] > 0, -chances[role])):
            if ways[role]():
                self.kills[role] += 1
                return

    def _one_of(self, found: list[Any]) -> Any:
        return self._random.choice(found) if found else None

    def _jobs(self) -> list[int]:
        """The first process of each training job that runs, with which all its others end."""
        assert self._server is not None
        return [pid for job in self._server.jobs() for pid in job["pids"].values()]

    def _end_tracker(self, tracker: Tracker) -> bool:
        if not tracker.is_up:
            return False
        tracker.kill(self._random.uniform(0, AWAY_SECONDS))
        return True


def _end(pid: int | None) -> bool:
    with contextlib.suppress(ProcessLookupError):
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def _end_container(name: str | None) -> bool:
    command = ["docker", "kill", "--signal", "KILL", str(name)]
    return name is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
