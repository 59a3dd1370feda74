"""A SageMaker training job as plain data: its name, where its files lie in S3, and the request that creates it; pure.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTrainingJob.html says what the fields mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.aws_settings import AwsSettings
from benchmark.run import Run
from launch.host import ALLOCATOR, threads

OWNER_TAG, RUN_TAG = "torch-image-benchmark:owner", "torch-image-benchmark:run"
HOME = "/opt/ml"
CODE = f"{HOME}/code"
COMMAND = (
    f"mkdir -p {CODE} && tar -xzf {HOME}/input/data/code/*.tar.gz -C {CODE} && exec python3 {CODE}/launch/bootstrap.py"
)
"""With ``exec``, so that the program is the container's first process and hears SageMaker's TERM."""
CHANNELS = f"{HOME}/input/data"
PACK_VARIABLE = "BENCHMARK_PACK"
"""Tells the program of a job that several runs share it."""
DAY, HOUR = 24 * 3600, 3600
LONGEST = 5 * DAY
"""Of a job that several runs share: what accounts may have at first.  Who allows one run more has more."""
BEGIN, TURN = 300, 30
"""Seconds that a job which several runs share has beside their own: to begin, and for each of them."""
SLUG = 20
"""Of an experiment's name, so many letters are in a job's name, which may have 63 in all."""
CONSOLE = ("train/loss", "val/accuracy", "val/log_loss")
"""What SageMaker's console can draw, found in the program's output."""


@dataclass(frozen=True)
class Owner:
    """Whose job it is: an experiment's name, and the UUID (hexadecimal) that its journal holds for the run."""

    experiment: str
    uuid: str

    @property
    def slug(self) -> str:
        name = re.sub(r"[^a-z0-9]+", "-", self.experiment.lower()).strip("-")
        return f"{name[:SLUG].strip('-') or 'experiment'}"

    def job_name(self, run: Run, attempt: int) -> str:
        """The same for the same attempt, whoever asks."""
        return f"{self.slug}-{run.run_id}-{self.uuid[:6]}-{attempt}"

    def pack_name(self, run: Run, attempt: int) -> str:
        """Of a job that several runs share, of which ``run`` is the first."""
        return f"{self.job_name(run, attempt)}-pack"

    def home(self, run: Run) -> tuple[str, ...]:
        """Where the files of a run lie, below the bucket's prefix."""
        return "experiments", self.slug, f"{run.run_id}-{self.uuid[:6]}"

    def checkpoints(self, run: Run, series: int) -> tuple[str, ...]:
        """Of all attempts that go on with one another: those since attempt number ``series``."""
        return *self.home(run), str(series), "checkpoints"

    def pack(self, run: Run, attempt: int) -> tuple[str, ...]:
        """Where what several runs share lies, of which ``run`` is the first."""
        return *self.home(run), f"pack-{attempt}"


@dataclass(frozen=True)
class Bucket:
    """A place in S3: where everything of ours lies below."""

    name: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Bucket:
        """``my-bucket``, or ``s3://my-bucket/prefix``."""
        name, _, prefix = text.removeprefix("s3://").partition("/")
        return cls(name, prefix.strip("/") or "torch-image-benchmark")

    def key(self, *parts: str) -> str:
        return "/".join((self.prefix, *parts))

    def uri(self, *parts: str) -> str:
        return f"s3://{self.name}/{self.key(*parts)}"


@dataclass(frozen=True)
class Site:
    """What the jobs of an experiment have in common.  ``image`` is an address in ECR, ``role`` an ARN; ``time_limit``
    is in seconds."""

    bucket: Bucket
    role: str
    image: str
    settings: AwsSettings
    hosts: int = 1
    isolated: bool = False
    time_limit: float | None = None

    def instance_type(self, run: Run) -> str:
        return run.instance_type or self.settings.instance_type


@dataclass(frozen=True)
class Inputs:
    """What a job reads, below the bucket's prefix, and where it goes on from."""

    code: tuple[str, ...]
    data: tuple[str, ...]
    config: tuple[str, ...]
    checkpoints: tuple[str, ...]
    weights: tuple[str, ...] | None = None


def request(
    run: Run,
    owner: Owner,
    attempt: int,
    site: Site,
    inputs: Inputs,
    environment: Mapping[str, str],
    runs: int | None = None,
) -> dict[str, Any]:
    """The arguments of ``CreateTrainingJob`` for one attempt at ``run``.

    Args:
        environment: what the program is told beside the places of its files.
        runs: so many share the job, ``run`` the first of them; ``None``: the job is this run's alone.
    """
    settings = site.settings
    packed = {} if runs is None else {PACK_VARIABLE: "1"}
    document: dict[str, Any] = {
        "TrainingJobName": owner.job_name(run, attempt) if runs is None else owner.pack_name(run, attempt),
        "RoleArn": site.role,
        "AlgorithmSpecification": _algorithm(site),
        "InputDataConfig": [
            _channel("config", f"{site.bucket.uri(*inputs.config)}/", "File"),
            _channel("code", site.bucket.uri(*inputs.code), "File"),
            _channel("data", f"{site.bucket.uri(*inputs.data)}/", settings.input_mode),
            *([_channel("weights", f"{site.bucket.uri(*inputs.weights)}/", "File")] if inputs.weights else []),
        ],
        "OutputDataConfig": {"S3OutputPath": site.bucket.uri(*owner.home(run), "output"), **_kms(settings, "KmsKeyId")},
        "CheckpointConfig": {"S3Uri": site.bucket.uri(*inputs.checkpoints), "LocalPath": f"{HOME}/checkpoints"},
        "ResourceConfig": _resources(run, site),
        "StoppingCondition": _stopping(site, runs),
        "Environment": {**_places(), **_weights(inputs), **environment, **packed},
        "EnableNetworkIsolation": site.isolated,
        "EnableInterContainerTrafficEncryption": settings.encrypt_traffic,
        "EnableManagedSpotTraining": settings.spot,
        "Tags": _tags(run, owner, site),
    }
    if settings.subnets:
        document["VpcConfig"] = {
            "Subnets": list(settings.subnets),
            "SecurityGroupIds": list(settings.security_groups),
        }
    return merged(document, settings.extra)


def environment(run: Run, site: Site, tasks: str) -> dict[str, str]:
    """What the program of a job is told beside the places of its files."""
    return {
        **ALLOCATOR,
        **threads(run.threads),
        **({"BENCHMARK_ISOLATED": "1"} if site.isolated else {}),
        "BENCHMARK_TASKS": tasks,
        "BENCHMARK_IMAGE": site.image,
        "BENCHMARK_INSTANCE": site.instance_type(run),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def merged(document: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """``document`` with what ``extra`` says, mapping by mapping; lists and values of ``extra`` replace."""
    found = dict(document)
    for name, value in extra.items():
        both = isinstance(value, Mapping) and isinstance(found.get(name), Mapping)
        found[name] = merged(found[name], value) if both else value
    return found


def _algorithm(site: Site) -> dict[str, Any]:
    metrics = [{"Name": name, "Regex": rf"{re.escape(name)}[= ]([-+0-9.e]+)"} for name in CONSOLE]
    return {
        "TrainingImage": site.image,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["sh", "-c", COMMAND],
        **({"MetricDefinitions": metrics} if site.settings.console_metrics else {}),
    }


def _channel(name: str, uri: str, mode: str) -> dict[str, Any]:
    """``uri`` is a prefix: that of a directory ends in ``/``, or its neighbours would be taken, too."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": mode}


def _resources(run: Run, site: Site) -> dict[str, Any]:
    settings = site.settings
    return {
        "InstanceType": site.instance_type(run),
        "InstanceCount": site.hosts,
        "VolumeSizeInGB": settings.volume_gib,
        **_kms(settings, "VolumeKmsKeyId"),
        **({"KeepAlivePeriodInSeconds": settings.keep_alive} if settings.keep_alive else {}),
    }


def _stopping(site: Site, runs: int | None) -> dict[str, int]:
    """The limit is that of a run; of several that share a job each minds its own, and the job's is beyond them all, as
    far as an account may have it."""
    longest = max(1, round(site.time_limit or DAY))
    if runs is not None:
        longest = max(longest, min(BEGIN + runs * (longest + TURN), LONGEST))
    if not site.settings.spot:
        return {"MaxRuntimeInSeconds": longest}
    wait = round(site.settings.max_wait or longest + HOUR)
    return {"MaxRuntimeInSeconds": longest, "MaxWaitTimeInSeconds": max(wait, longest)}


def _places() -> dict[str, str]:
    """SageMaker's own places, in the words of its training toolkit, which an image need not have."""
    return {
        "SM_CHANNEL_CONFIG": f"{CHANNELS}/config",
        "SM_CHANNEL_DATA": f"{CHANNELS}/data",
        "SM_OUTPUT_DATA_DIR": f"{HOME}/output/data",
        "SM_MODEL_DIR": f"{HOME}/model",
        "SM_OUTPUT_DIR": f"{HOME}/output",
        "SM_CHECKPOINT_DIR": f"{HOME}/checkpoints",
    }


def _weights(inputs: Inputs) -> dict[str, str]:
    return {"SM_CHANNEL_WEIGHTS": f"{CHANNELS}/weights"} if inputs.weights else {}


def _tags(run: Run, owner: Owner, site: Site) -> list[dict[str, str]]:
    ours = {OWNER_TAG: owner.uuid, RUN_TAG: run.run_id}
    return [{"Key": name, "Value": value} for name, value in {**site.settings.tags, **ours}.items()]


def _kms(settings: AwsSettings, name: str) -> dict[str, str]:
    return {name: settings.kms_key} if settings.kms_key else {}
