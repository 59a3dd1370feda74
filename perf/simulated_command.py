"""The command in simulated time: `python -m benchmark …` whose sweep lives by a clock that it shares with a rehearsal.

    python perf/simulated_command.py BEAT SPEED REPORT (mlflow|silent) run experiments.yaml -y

Nothing of the program is changed but `time.time`, `time.monotonic` and `time.sleep`, and only while it sweeps: its
intervals, its rates and botocore's retries are the usual ones.  Time stands still during calls of AWS, which are as
slow here as the machine is busy: they take no simulated time.  `silent` leaves MLflow out, whose share is measured
elsewhere.  REPORT gets what the sweep took.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from botocore.client import BaseClient

from benchmark import presenting
from benchmark.sweep import Sweep
from launch.rehearsal.beat import Beat


class Silent:
    """In the place of :class:`benchmark.publishing.Publishing`: publishes nothing, and has nothing to do."""

    publisher = None
    idle = True

    def __init__(self, *_: object) -> None:
        return

    def notify(self, request: object) -> None:
        return

    def replies(self) -> Iterator[Any]:
        return iter(())

    def close(self, timeout: float) -> bool:
        return True


class Turn(threading.Condition):
    """In the place of the one on which botocore's adaptive retries wait for their turn: a real second of that would be
    as many simulated ones as the simulation is quick."""

    beat: Beat | None = None

    def wait(self, timeout: float | None = None) -> bool:
        if self.beat is None or timeout is None:
            return super().wait(timeout)
        self.release()
        try:
            self.beat.sleep(timeout)
        finally:
            self.acquire()
        return True


@contextmanager
def simulated(beat: Beat) -> Iterator[None]:
    """Within the block the time of this process is the simulation's; it goes on from what it was."""
    wall, running = time.time() - beat.now(), time.monotonic() - beat.now()

    def date() -> float:
        return wall + beat.now()

    def monotonic() -> float:
        return running + beat.now()

    call = BaseClient._make_api_call

    def held(self: BaseClient, *arguments: Any) -> Any:
        with beat.held():
            return call(self, *arguments)

    beat.join()
    with (
        mock.patch.object(BaseClient, "_make_api_call", held),
        mock.patch("time.time", date),
        mock.patch("time.monotonic", monotonic),
        mock.patch("time.sleep", beat.sleep),
    ):
        try:
            yield
        finally:
            beat.leave()


def main() -> None:
    """Runs the command; ends as it does."""
    place, speed, report, tracker, *words = sys.argv[1:]
    sweep = Sweep.events

    def events(self: Sweep) -> Iterator[Any]:
        Turn.beat = beat = Beat(Path(place), 1, float(speed))
        cpu, wall = time.process_time(), time.perf_counter()
        with simulated(beat):
            yield from sweep(self)
            simulated_seconds = beat.now()
        found = {
            "cpu": time.process_time() - cpu,
            "wall": time.perf_counter() - wall,
            "simulated": simulated_seconds,
            "beats": beat.beats,
            "left out": beat.left_out,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        Path(report).write_text(json.dumps(found), encoding="utf-8")

    sys.argv[1:] = words
    turns = SimpleNamespace(Lock=threading.Lock, Condition=Turn)
    with mock.patch.object(Sweep, "events", events), mock.patch("botocore.retries.bucket.threading", turns):
        if tracker == "silent":
            presenting.Publishing = Silent  # type: ignore[misc, assignment]
        from benchmark.cli import entry

        entry()


if __name__ == "__main__":
    main()
