"""A rehearsal: an experiment as it would run in AWS, against a server on this machine that really runs its jobs.

Nothing of it touches an account of AWS, but that images of the source ``s3`` are fetched from theirs, nor the
experiment's own results and MLflow.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmark import catalogue, config
from benchmark.config import Experiment
from benchmark.config.experiment import TrackingSettings
from benchmark.data import datasets
from benchmark.installed import default_experiment
from benchmark.mlflow_store import sqlite_uri
from benchmark.preparing import fitting
from launch import Unavailable, engine
from launch.rehearsal.client import NoRehearsal, Rehearsal
from launch.rehearsal.faults import Faults

HOME = Path("rehearsal")
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/rehearsal:1"
"""Of no account; jobs in a namespace take this machine's own libraries."""
POLL_SECONDS = 1.0
STARTUP_SECONDS = 10.0
"""A job here imports its libraries, and loads no image."""


@dataclass(frozen=True)
class Stage:
    """Where an experiment is played, with what becomes of its settings there."""

    server: Rehearsal
    directory: Path
    executor: Literal["namespace", "docker"]
    faults: Faults

    def adapted(self, experiment: Experiment) -> Experiment:
        """With a role and a bucket of the rehearsal's, as many jobs at a time as this machine can, and an MLflow of its
        own."""
        launch = experiment.launch
        spot = launch.aws.spot or self.faults.spot > 0
        count = max(1, fitting([cell.run for cell in experiment.cells]) // launch.hosts)
        aws = replace(
            launch.aws,
            role=self.server.role,
            bucket=self.server.bucket,
            region=None,
            profile=None,
            concurrency=min(launch.aws.concurrency, count),
            spot=spot,
            keep_alive=0 if spot else launch.aws.keep_alive,
            poll_seconds=POLL_SECONDS,
            startup_seconds=STARTUP_SECONDS,
        )
        image = engine.IMAGE if self.executor == "docker" else IMAGE
        tracking = TrackingSettings(sqlite_uri(self.directory.absolute() / "mlflow.db"))
        return replace(experiment, launch=replace(launch, mode="aws", image=image, aws=aws), tracking=tracking)

    def review(self) -> list[str]:
        """What the server saw."""
        jobs, calls = self.server.jobs(), Counter(each["operation"] for each in self.server.calls())
        statuses = Counter(job["status"] for job in jobs)
        shown = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
        again = sum(max(job["attempts"] - 1, 0) for job in jobs)
        often = ", ".join(f"{name} {count}" for name, count in calls.most_common(4))
        lines = [f"rehearsed: {len(jobs)} training jobs ({shown}), {again} interrupted and gone on; calls: {often}"]
        return [*lines, f"what the jobs left: {self.directory}"]


def fetch_data(path: Path | None, settings: Sequence[str]) -> None:
    """Images in S3 lie in a real account: they are fetched before the environment is the rehearsal's, and what comes
    later in this process takes them as they are.

    Raises:
        ConfigError, DataError: what is wrong with the experiment, or with its images.
    """
    cache = datasets.cache_directory()
    for spec in config.load(path or default_experiment(), settings, catalogue.names(cache)).data:
        if spec.source == "s3":
            datasets.inspect(spec, cache)


@contextmanager
def rehearsal(executor: Literal["namespace", "docker"], faults: Faults, startup: float) -> Iterator[Stage]:
    """A server to play against; within the block every AWS client of this process talks to it.

    Raises:
        Unavailable: it cannot be started here.
    """
    directory = HOME / time.strftime("%Y%m%d-%H%M%S")
    arguments = ["--image", engine.IMAGE] if executor == "docker" else []
    server = Rehearsal(directory / "server", faults, executor, startup_seconds=startup, arguments=arguments)
    before = dict(os.environ)
    try:
        with server:
            for name in [each for each in os.environ if each.startswith("AWS_")]:
                del os.environ[name]
            os.environ.update(server.environment())
            yield Stage(server, directory, executor, faults)
    except NoRehearsal as error:
        raise Unavailable(str(error)) from error
    finally:
        os.environ.clear()
        os.environ.update(before)
