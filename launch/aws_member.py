"""The handle of a run that shares its training job with others, and what the job keeps of it in S3.

Its epochs are looked for as those of any run.  What it leaves is one file beside them, which the job writes when the
run has ended (:mod:`benchmark.training.pack`), and which is fetched while the job goes on with its other runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.bill import Bill, write_bill
from benchmark.records import Failure
from benchmark.run import Run
from benchmark.rundir import BrokenFile, RunDir
from launch import JobState, aws_results
from launch.aws_clients import Clients
from launch.aws_record import Record, close
from launch.aws_results import SECONDS, Mirror
from launch.aws_uploads import fetch

if TYPE_CHECKING:
    from launch.aws_pack import Pack

OUTPUTS = "outputs.tar"
ENDS = (OUTPUTS, SECONDS)
"""Of a run in one job, and no part of what it goes on with in another."""
RUNNING = JobState("running")


@dataclass
class Member:
    """One run of a pack, which it has from the moment that it joins one; ``asked``: whether it is to stop."""

    run: Run
    rundir: RunDir
    attempt: int
    pack: Pack | None = None
    record: Record | None = None
    asked: bool = False
    state: JobState = RUNNING
    _mirror: Mirror | None = None

    def poll(self) -> JobState:
        """What is known of the run; the job takes its next step when that is due."""
        assert self.pack is not None
        self.pack.poll()
        return self.state

    def cancel(self) -> None:
        """Has the whole job stopped, unless that has not begun; the other runs then go on in another one."""
        assert self.pack is not None
        self.asked = True
        self.pack.hurry()

    def cpu_seconds(self) -> float | None:
        """Nobody here knows."""
        return None

    @property
    def directory(self) -> Path:
        return self.rundir.attempt(self.attempt)

    @property
    def is_open(self) -> bool:
        return self.state.status == "running"

    def look(self, clients: Clients) -> None:
        """Takes the epochs that are new."""
        assert self.record is not None
        if self._mirror is None:
            key = f"{self.record.checkpoints}/{self.rundir.events_path.name}"
            self._mirror = Mirror(clients, self.record.bucket, key, self.rundir)
        self._mirror.look()

    def fetch(self, clients: Clients) -> bool:
        """Takes what the run has left, where it has ended; whether it has."""
        assert self.record is not None
        uri = f"s3://{self.record.bucket}/{self.record.checkpoints}/{OUTPUTS}"
        return aws_results.take(clients, [uri], self.rundir, self.directory)

    def own_failure(self) -> Failure | None:
        with contextlib.suppress(BrokenFile):
            return self.rundir.read_failure()
        return None

    def pay(self, bill: Bill) -> None:
        write_bill(self.directory, bill)

    def end(self, failure: Failure | None, again: float | None = None) -> None:
        """Everything of the run is here.  What is tried ``again`` is no failure of the run's."""
        if failure is not None:
            failure = dataclasses.replace(failure, time=failure.time or time.time())
            if again is None and self.record is not None:
                self.rundir.write_failure(failure)
            log = self.rundir.log_path(self.attempt)
            if self.directory.exists() and not log.exists():
                log.write_text(f"{failure.kind}: {failure.message}\n", encoding="utf-8")
        close(self.directory)
        self.state = JobState("ended", failure, again)


def copy_checkpoints(clients: Clients, bucket: str, here: str, there: str) -> None:
    """Of a run that goes on in another job than the one that it was in; within S3, without this machine."""
    s3 = clients("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{here}/"):
        for key in (each["Key"] for each in page.get("Contents", ())):
            if (name := key.removeprefix(f"{here}/")) not in ENDS:
                s3.copy_object(Bucket=bucket, Key=f"{there}/{name}", CopySource={"Bucket": bucket, "Key": key})


def seconds(clients: Clients, record: Record, run_id: str, attempt: Path) -> float | None:
    """Those that a run has had in the job that it shares; ``None``: it has not begun, as far as anybody knows.

    Args:
        record: of any run of the job.
        attempt: the directory of the attempt at the run.
    """
    path = attempt / SECONDS
    if not path.exists():
        fetch(clients, f"s3://{record.bucket}/{record.shared_checkpoints}/{run_id}/{SECONDS}", path)
    with contextlib.suppress(OSError, ValueError, TypeError):
        return max(0.0, float(json.loads(path.read_text(encoding="utf-8"))))
    return None
