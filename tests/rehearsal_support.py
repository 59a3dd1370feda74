"""Training jobs for tests of the rehearsal: their requests, their programs, and waiting for them."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import boto3  # noqa: TID251 - the client whose behaviour the tests are about
from botocore.config import Config

from launch.rehearsal.client import Rehearsal

NUMBERS = itertools.count(1)
ONCE = {"total_max_attempts": 1}
GROUP = "/aws/sagemaker/TrainingJobs"
CHECKPOINT = """
import os, time
step = "/opt/ml/checkpoints/step"
before = open(step).read() if os.path.exists(step) else ""
print("found", repr(before), flush=True)
with open(step + ".new", "w") as file:
    file.write(before + "x")
os.rename(step + ".new", step)
"""
"""One more letter in the checkpoint each time that it starts."""
STUBBORN = "import time\nprint('ready', flush=True)\ntime.sleep(60)"
"""TERM does not end a first process that does not handle it."""
GENTLE = """
import signal, sys, time
def end(*_):
    open("/opt/ml/output/data/end", "w").write("TERM")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(60)
"""


class Account:
    """What a user of the rehearsal has: clients, and jobs by their programs."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.rehearsal = rehearsal
        self.sagemaker = self.client("sagemaker", retries={"mode": "standard"}, max_pool_connections=50)
        self.impatient = self.client("sagemaker", retries=ONCE)
        self.s3 = self.client("s3", retries=ONCE, max_pool_connections=50)
        self.logs = self.client("logs")

    def client(self, service: str, **config: Any) -> Any:
        """A client as anybody makes one: what it needs to know is in the environment."""
        with mock.patch.dict(os.environ, self.rehearsal.environment()):
            return boto3.Session().client(service, config=Config(**config))

    def request(self, program: str, **changes: Any) -> dict[str, Any]:
        """The request for a job that runs ``program``; top-level keys can be changed."""
        where = f"s3://{self.rehearsal.bucket}"
        name = f"job-{next(NUMBERS)}"
        return {
            "TrainingJobName": name,
            "RoleArn": self.rehearsal.role,
            "AlgorithmSpecification": {
                "TrainingImage": "image",
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["python3", "/opt/ml/input/data/code/program.py"],
            },
            "InputDataConfig": [channel("code", self.put(f"{name}/code/program.py", program).rpartition("/")[0])],
            "OutputDataConfig": {"S3OutputPath": f"{where}/out"},
            "CheckpointConfig": {"S3Uri": f"{where}/{name}/checkpoints"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **changes,
        }

    def start(self, program: str, **changes: Any) -> str:
        request = self.request(program, **changes)
        self.sagemaker.create_training_job(**request)
        return str(request["TrainingJobName"])

    def run(self, program: str, **changes: Any) -> dict[str, Any]:
        return self.ended(self.start(program, **changes))

    def describe(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=name)
        return found

    def ended(self, name: str) -> dict[str, Any]:
        return self.when(name, lambda job: job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"))

    def when(self, name: str, happens: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        until(lambda: happens(self.describe(name)))
        return self.describe(name)

    def put(self, key: str, text: str) -> str:
        self.s3.put_object(Bucket=self.rehearsal.bucket, Key=key, Body=text.encode())
        return f"s3://{self.rehearsal.bucket}/{key}"

    def get(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        content: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def keys(self, prefix: str) -> set[str]:
        found = self.s3.list_objects_v2(Bucket=self.rehearsal.bucket, Prefix=prefix)
        return {each["Key"].removeprefix(prefix) for each in found.get("Contents", ())}

    def said(self, name: str) -> dict[str, list[str]]:
        """The lines of each stream of a job; in a new account there is no group before the first job."""
        if not self.logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]:
            return {}
        streams = self.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
        return {each["logStreamName"].partition("/")[2]: self._lines(each["logStreamName"]) for each in streams}

    def ready(self, name: str) -> None:
        """Waits for the first line that a job prints."""
        until(lambda: bool(self.describe(name)["TrainingJobStatus"] == "InProgress" and any(self.said(name).values())))

    def _lines(self, stream: str) -> list[str]:
        found = self.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
        return [each["message"] for each in found["events"]]


def channel(name: str, uri: str, **more: Any) -> dict[str, Any]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}, **more}


def secondaries(job: dict[str, Any]) -> list[str]:
    return [each["Status"] for each in job["SecondaryStatusTransitions"]]


def until(happens: Callable[[], bool], seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.1)


@contextmanager
def account(directory: Path, **settings: Any) -> Iterator[Account]:
    with Rehearsal(directory, **{"grace": 1.0, "mirror_seconds": 0.1, **settings}) as rehearsal:
        yield Account(rehearsal)
