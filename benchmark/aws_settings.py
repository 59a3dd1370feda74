"""What a user says of AWS: the section ``aws`` of an experiment's file.  Ground floor: standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from benchmark.run import key

DEFAULT_INSTANCE = "ml.m5.xlarge"
ROLE_VARIABLE = "SAGEMAKER_ROLE"


@dataclass(frozen=True)
class AwsSettings:
    """How training jobs run in AWS; no part of a run's identity, but for ``instance_type`` where a run names one."""

    role: str | None = key(None, "name or ARN of the role that jobs run as; null: $SAGEMAKER_ROLE", min_length=1)
    bucket: str | None = key(
        None,
        "S3 bucket for code, data and results, or s3://bucket/prefix; null: sagemaker-REGION-ACCOUNT",
        min_length=3,
    )
    region: str | None = key(None, "null: the profile's, or $AWS_REGION", min_length=1)
    profile: str | None = key(None, "of ~/.aws/config; null: $AWS_PROFILE, or the usual search for credentials")
    instance_type: str = key(DEFAULT_INSTANCE, "of runs that name none", min_length=4)
    concurrency: int = key(4, "training jobs at a time, of each instance type", ge=1)
    runs_per_job: int | Literal["auto"] = key(
        1,
        "so many runs share a training job, one after the other, and pay its start-up once; auto: as many as make it a "
        "tenth of the job; runs on several hosts share none",
        ge=1,
    )
    volume_gib: int = key(30, "disk of each instance", ge=1, le=16384)
    input_mode: Literal["File", "FastFile"] = key("File", "File: data are copied first; FastFile: read as needed")
    spot: bool = key(False, "managed spot: cheaper, may be interrupted; the job then goes on from its checkpoint")
    max_wait: float | None = key(
        None, "seconds for a spot job, waiting included; null: launch.time_limit and an hour", gt=0
    )
    keep_alive: int = key(0, "seconds that an instance stays warm for a next job; it is paid for", ge=0, le=3600)
    kms_key: str | None = key(None, "KMS key of disks and outputs", min_length=1)
    subnets: list[str] = key([], "of a VPC, together with security_groups")
    security_groups: list[str] = key([], "of a VPC, together with subnets")
    encrypt_traffic: bool = key(False, "encrypt what instances of one job send each other")
    tags: Mapping[str, str] = key({}, "further tags of every job")
    console_metrics: bool = key(True, "let SageMaker's console show loss and validation metrics")
    poll_seconds: float = key(15.0, "between two looks at a job", gt=0)
    startup_seconds: float = key(
        90.0, "of each job that are paid for beside its training (image, data), for the forecast in dollars", ge=0
    )
    prices: Mapping[str, float] = key({}, "dollars an hour by instance type, over those that are shipped")
    budget_usd: float | None = key(None, "dollars that the experiment may cost; null: no limit", gt=0)
    extra: Mapping[str, Any] = key({}, "merged into the request (CreateTrainingJob), for what has no key here")
