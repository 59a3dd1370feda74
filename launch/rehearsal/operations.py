"""SageMaker's calls for training jobs, as functions from a request to an answer; all others are left to moto."""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from launch.rehearsal.answers import AwsError
from launch.rehearsal.calls import job_arn
from launch.rehearsal.chance import Chance
from launch.rehearsal.clock import Clock
from launch.rehearsal.instances import Instances
from launch.rehearsal.job import TrainingJob
from launch.rehearsal.validation import INVALID, validate

NOT_FOUND = "Requested resource not found."
SPOT_SHARE = 0.3
"""What spot instances cost here of the price of others."""


class Operations:
    """The jobs of the account, in all regions.

    Args:
        live: starts a job's life, and returns at once.
        allow: raises an ``AwsError`` for a request that the account's other services do not allow.
    """

    def __init__(
        self,
        directory: Path,
        chance: Chance,
        clock: Clock,
        instances: Instances,
        live: Callable[[TrainingJob, bool], None],
        allow: Callable[[dict[str, Any], str], None],
    ) -> None:
        self._directory, self._chance, self._clock, self._instances = directory, chance, clock, instances
        self._live, self._allow = live, allow
        self._lock = threading.Lock()
        self._jobs: dict[tuple[str, str], TrainingJob] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._ways: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {
            "CreateTrainingJob": self._create,
            "DescribeTrainingJob": self._describe,
            "StopTrainingJob": self._stop,
            "DeleteTrainingJob": self._delete,
            "ListTrainingJobs": self._list,
        }
        self._of_tags = {"AddTags": self._add_tags, "ListTags": self._list_tags, "DeleteTags": self._delete_tags}

    def all(self) -> list[TrainingJob]:
        """Every job that was created and not deleted, in the order of creation."""
        with self._lock:
            return list(self._jobs.values())

    def answer(self, operation: str, request: dict[str, Any], region: str) -> dict[str, Any] | None:
        """The answer, or ``None`` where the call is none of ours.

        Raises:
            AwsError: what the caller is told instead.
        """
        if operation in self._of_tags and request.get("ResourceArn") in self._tags:
            return self._of_tags[operation](request)
        if operation not in self._ways:
            return None
        validate(operation, request)
        return self._ways[operation](request, region)

    def _create(self, request: dict[str, Any], region: str) -> dict[str, Any]:
        name, resources = request["TrainingJobName"], request["ResourceConfig"]
        spot = bool(request.get("EnableManagedSpotTraining"))
        arn = job_arn(region, name)
        self._allow(request, region)
        with self._lock:
            if (region, name) in self._jobs:
                raise AwsError("ResourceInUse", _TAKEN.format(arn))
            self._instances.check(self._jobs.values(), resources["InstanceType"], resources["InstanceCount"], spot=spot)
            job = TrainingJob(_completed(request), arn, self._clock, self._directory / region / name, SPOT_SHARE)
            self._jobs[region, name] = job
            self._tags[arn] = {each["Key"]: each["Value"] for each in request.get("Tags", ())}
        self._live(job, self._chance.created(name))
        return {"TrainingJobArn": arn}

    def _describe(self, request: dict[str, Any], region: str) -> dict[str, Any]:
        self._instances.expire()
        return self._found(request, region).describe()

    def _stop(self, request: dict[str, Any], region: str) -> dict[str, Any]:
        job = self._found(request, region)
        if not job.stop():
            raise AwsError(INVALID, f"The request was rejected because the training job is in status {job.status}.")
        return {}

    def _delete(self, request: dict[str, Any], region: str) -> dict[str, Any]:
        job = self._found(request, region)
        if not job.ended:
            raise AwsError("ResourceInUse", f"The training job is in status {job.status}.")
        with self._lock:
            del self._jobs[region, job.name], self._tags[job.arn]
        shutil.rmtree(job.directory, ignore_errors=True)
        return {}

    def _list(self, request: dict[str, Any], region: str) -> dict[str, Any]:
        """A status is looked at after a page has been taken, as AWS documents it: pages may be short, or empty."""
        jobs = [each for each in self.all() if each.region == region and _fits(request, each)]
        key = _ORDERS.get(request.get("SortBy", ""), lambda job: job.created)
        jobs.sort(key=key, reverse=request.get("SortOrder", "Descending") == "Descending")
        start = int(request.get("NextToken", 0))
        end = start + request.get("MaxResults", 10)
        found = [each.summary() for each in jobs[start:end] if request.get("StatusEquals", each.status) == each.status]
        return {"TrainingJobSummaries": found, **({"NextToken": str(end)} if end < len(jobs) else {})}

    def _add_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        self._tags[request["ResourceArn"]] |= {each["Key"]: each["Value"] for each in request["Tags"]}
        return self._list_tags(request)

    def _delete_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        for key in request["TagKeys"]:
            self._tags[request["ResourceArn"]].pop(key, None)
        return {}

    def _list_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"Tags": [{"Key": key, "Value": value} for key, value in self._tags[request["ResourceArn"]].items()]}

    def _found(self, request: Mapping[str, Any], region: str) -> TrainingJob:
        with self._lock:
            found = self._jobs.get((region, request["TrainingJobName"]))
        if found is None:
            raise AwsError(INVALID, NOT_FOUND)
        return found


_TAKEN = (
    "Training job names must be unique within an AWS account and region, and a training job with this name already "
    "exists ({})"
)


def _completed(request: dict[str, Any]) -> dict[str, Any]:
    """With the defaults that the service fills in."""
    off = dict.fromkeys(
        ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"), False
    )
    return {**off, **request, "StoppingCondition": {"MaxRuntimeInSeconds": 86400, **request["StoppingCondition"]}}


_ORDERS: Mapping[str, Callable[[TrainingJob], Any]] = {"Name": lambda job: job.name, "Status": lambda job: job.status}


def _fits(request: Mapping[str, Any], job: TrainingJob) -> bool:
    return (
        request.get("LastModifiedTimeAfter", 0.0) < job.modified < request.get("LastModifiedTimeBefore", math.inf)
        and request.get("CreationTimeAfter", 0.0) < job.created < request.get("CreationTimeBefore", math.inf)
        and request.get("NameContains", "") in job.name
        and request.get("WarmPoolStatusEquals") in (None, job.warm_pool.get("Status"))
    )
