"""The request that a run would be sent with, as far as it is known before anything is asked of AWS."""

from __future__ import annotations

import os
from typing import Any, Protocol

from benchmark.aws_settings import ROLE_VARIABLE, AwsSettings
from benchmark.run import Run
from launch import deep_learning
from launch.training_job import Bucket, Inputs, Owner, Site, environment, request

LATER = "000000"
"""In place of the run's UUID, which its journal does not hold yet."""


class Settings(Protocol):
    """Those of an experiment's ``launch``."""

    @property
    def aws(self) -> AwsSettings: ...

    @property
    def image(self) -> str | None: ...

    @property
    def deep_learning_image(self) -> str | None: ...

    @property
    def hosts(self) -> int: ...

    @property
    def network_isolation(self) -> bool: ...

    @property
    def time_limit(self) -> float | None: ...


def preview(run: Run, experiment: str, settings: Settings, tasks: str) -> dict[str, Any]:
    """The first attempt's; what only AWS knows is in capitals."""
    aws = settings.aws
    role = aws.role or os.environ.get(ROLE_VARIABLE) or "ROLE"
    site = Site(
        Bucket.parse(aws.bucket or "sagemaker-REGION-ACCOUNT"),
        role if role.startswith("arn:") else f"arn:aws:iam::ACCOUNT:role/{role}",
        settings.image or f"DEEP-LEARNING-CONTAINER:{settings.deep_learning_image or deep_learning.VERSION}",
        aws,
        settings.hosts,
        settings.network_isolation,
        settings.time_limit,
    )
    owner = Owner(experiment, LATER)
    home = owner.home(run)
    weights = ("weights", run.weights_digest) if run.weights_digest else None
    places = ("code", "DIGEST.tar.gz"), ("data", "DIGEST"), (*home, "config"), owner.checkpoints(run, 1)
    inputs = Inputs(*places, weights)
    return request(run, owner, 1, site, inputs, environment(run, site, tasks))
