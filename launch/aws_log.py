"""The log of a training job while it runs, from CloudWatch."""

from __future__ import annotations

import time
from collections.abc import Iterator

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
    try:
        while True:
            alive = follow and _lives(clients, record)  # looked at before reading: what is written until then is read
            for stream in aws_results.streams(clients, record.name):
                for page in aws_results.pages(clients, stream, tokens.get(stream, "")):
                    yield from page.lines
                    tokens[stream] = page.token
            if not alive:
                return
            time.sleep(every)
    except aws_clients.FAILURES as error:
        raise OSError(f"CloudWatch: {aws_clients.said(error)}") from error


def _lives(clients: Clients, record: Record) -> bool:
    """A job that is not there yet waits to be created."""
    try:
        said = clients("sagemaker").describe_training_job(TrainingJobName=record.name)
    except aws_clients.FAILURES as error:
        if aws_clients.trouble(error) != "missing":
            raise
        return True
    return not aws_outcome.has_ended(said)
