"""Jobs that run elsewhere for money, as far as a sweep can tell; here they are processes of this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.bill import Bill, write_bill
from benchmark.records import Failure
from benchmark.run import Run
from benchmark.rundir import RunDir
from launch import Job, JobState
from launch.fast_local import FastLocal
from tests.test_sweep import STUB, Bench

BILL = Bill("ml.test", 1, 3600.0, 3600.0, False)
LACKS = Failure("infrastructure", "CapacityError: no instance of this type")


@dataclass
class Lacking:
    """A job that could not begin for want of machines; with ``patient`` it says so only when it is asked to stop."""

    patient: bool = False
    again: float = 0.2

    def poll(self) -> JobState:
        return JobState("running") if self.patient else JobState("ended", LACKS, self.again)

    def cancel(self) -> None:
        self.patient = False

    def cpu_seconds(self) -> float | None:
        return None


@dataclass
class Elsewhere(Bench):
    """Sweeps over one experiment whose jobs run elsewhere.  ``bill`` is what each attempt costs; ``lacking`` is how
    often there is no machine for a model (``patient``: as in :class:`Lacking`); ``submitted`` are the attempts that
    were begun."""

    bill: Bill | None = None
    lacking: dict[str, int] = field(default_factory=dict)
    patient: bool = False
    submitted: list[tuple[Run, int, float]] = field(default_factory=list)

    def launcher(self) -> FastLocal:
        return Launcher(self)


class Launcher(FastLocal):
    """FastLocal, as if its jobs ran elsewhere."""

    remote = True

    def __init__(self, bench: Elsewhere) -> None:
        super().__init__(bench.start, entry=STUB, preload=("numpy",), grace=0.5)
        self._bench = bench

    def submit(self, run: Run, rundir: RunDir, attempt: int, data: Path, tasks: str = "train") -> Job:
        self._bench.submitted.append((run, attempt, time.monotonic()))
        if self._bench.bill:
            write_bill(rundir.attempt(attempt), self._bench.bill)
        if self._bench.lacking.get(run.model, 0):
            self._bench.lacking[run.model] -= 1
            return Lacking(self._bench.patient)
        return super().submit(run, rundir, attempt, data, tasks)
