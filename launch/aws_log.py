"""The log of a training job while it runs, from CloudWatch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmark.rundir import RunDir
from launch import aws_clients, aws_outcome, aws_results
from launch.aws_clients import Clients
from launch.aws_record import Record

LOOK_SECONDS = 5.0


def tail(rundir: RunDir, *, follow: bool, every: float = LOOK_SECONDS) -> Iterator[bytes]:
    """What the hosts of the run's latest attempt have printed; with ``follow`` until the job has ended.

    Raises:
        Unavailable: there are no credentials.
        OSError: AWS does not answer.
    """
    record = Record.read(rundir.attempt(rundir.last_attempt))
    if record is None:
        return
    clients, tokens = Clients(record.profile, record.region), dict[str, str]()
    own = Own(rundir.path.name) if record.members else _every
    try:
        while True:
            alive = follow and _lives(clients, record)  # looked at before reading: what is written until then is read
            for stream in aws_results.streams(clients, record.name):
                for page in aws_results.pages(clients, stream, tokens.get(stream, "")):
                    yield from filter(own, page.lines)
                    tokens[stream] = page.token
            if not alive:
                return
            time.sleep(every)
    except aws_clients.FAILURES as error:
        raise OSError(f"CloudWatch: {aws_clients.said(error)}") from error


@dataclass
class Own:
    """Chooses the lines of one run from the log of a job that several share: those behind its heading
    (:func:`benchmark.training.pack.heading`)."""

    run_id: str
    inside: bool = False

    def __call__(self, line: bytes) -> bool:
        if line.startswith(b"== run "):
            self.inside = line.startswith(f"== run {self.run_id} ".encode())
        return self.inside


def _every(line: bytes) -> bool:
    return True


def _lives(clients: Clients, record: Record) -> bool:
    """A job that is not there yet waits to be created."""
    try:
        said = clients("sagemaker").describe_training_job(TrainingJobName=record.name)
    except aws_clients.FAILURES as error:
        if aws_clients.trouble(error) != "missing":
            raise
        return True
    return not aws_outcome.has_ended(said)
