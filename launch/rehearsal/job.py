"""A training job as the service knows it: its request, its statuses, and the answer to DescribeTrainingJob."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launch.rehearsal.clock import Clock

ENDED = ("Completed", "Failed", "Stopped")
LOCAL_CHECKPOINTS = "/opt/ml/checkpoints"
MESSAGES = {
    "Starting": "Starting the training job",
    "Pending": "Training job waiting for capacity",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Training job interrupted: the Spot instances were reclaimed",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}
_NOT_DESCRIBED = ("Tags", "SessionChainingConfig")


class TrainingJob:
    """Changed by the thread that lives it, and by who stops it; read by every request."""

    def __init__(self, request: Mapping[str, Any], arn: str, clock: Clock, directory: Path, spot_share: float) -> None:
        self.request, self.arn, self.directory = request, arn, directory
        self.region, self.name = arn.split(":")[3], str(request["TrainingJobName"])
        self.stop_requested, self.closing, self.wake = False, False, threading.Event()
        self.status, self.secondary, self.failure = "InProgress", "", ""
        self.attempts = 0
        self.pids: dict[str, int] = {}
        self.warm_pool: dict[str, Any] = {}
        self.artifacts = ""
        self._clock, self._spot_share, self._lock = clock, spot_share, threading.RLock()
        self._created = self._modified = clock.now()
        self._on_instances: list[list[float]] = []
        self._transitions: list[dict[str, Any]] = []
        self.enter("Starting")

    @property
    def spot(self) -> bool:
        return bool(self.request.get("EnableManagedSpotTraining"))

    @property
    def instance_type(self) -> str:
        return str(self.request["ResourceConfig"]["InstanceType"])

    @property
    def count(self) -> int:
        return int(self.request["ResourceConfig"]["InstanceCount"])

    @property
    def created(self) -> float:
        return self._created

    @property
    def modified(self) -> float:
        return self._modified

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def limit(self, name: str) -> float:
        """A limit of the stopping condition in seconds; infinite where there is none."""
        return float(self.request["StoppingCondition"].get(name, math.inf))

    def stop(self) -> bool:
        """Asks for the end; whether the job was still running."""
        with self._lock:
            if self.ended:
                return False
            self.stop_requested = True
            self.stopping()
        self.wake.set()
        return True

    def close(self) -> None:
        """The server ends, and the job with it."""
        self.closing = True
        self.wake.set()

    def stopping(self) -> None:
        """It ends on somebody's wish or for a limit, and has some seconds left."""
        with self._lock:
            if self.status == "InProgress":
                self.enter("Stopping", status="Stopping")

    def enter(self, secondary: str, *, status: str = "", message: str = "") -> None:
        """The next secondary status, from now; a job that stops keeps ``Stopping`` until it has ended."""
        with self._lock:
            if self.status == "Stopping" and not status:
                return
            self._modified = now = self._clock.now()
            if self._transitions:
                self._transitions[-1]["EndTime"] = now
            text = message or MESSAGES[secondary]
            self._transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": text})
            self.secondary, self.status = secondary, status or self.status
            if self.ended:
                self._transitions[-1]["EndTime"] = now

    def end(self, status: str, secondary: str = "", failure: str = "") -> None:
        """The last status, and for a failed job why."""
        with self._lock:
            self.failure = failure[:1024]
            self.leave_instances()
            self.enter(secondary or status, status=status)

    def arrive_on_instances(self) -> None:
        """From here time is billed."""
        self._on_instances.append([self._clock.now(), math.nan])

    def leave_instances(self) -> None:
        """To here time is billed."""
        if self._on_instances and math.isnan(self._on_instances[-1][1]):
            self._on_instances[-1][1] = self._clock.now()

    def describe(self) -> dict[str, Any]:
        """The answer to DescribeTrainingJob; times are seconds since the epoch."""
        with self._lock:
            echoed = {key: value for key, value in self.request.items() if key not in _NOT_DESCRIBED}
            optional = {
                "FailureReason": self.failure,
                "WarmPoolStatus": dict(self.warm_pool),
                "ModelArtifacts": {"S3ModelArtifacts": self.artifacts} if self.artifacts else {},
            }
            return {
                **echoed,
                **self.summary(),
                **{key: value for key, value in optional.items() if value},
                "SecondaryStatusTransitions": [dict(each) for each in self._transitions],
                "ProfilingStatus": "Disabled",
                **self._times(),
            }

    def summary(self) -> dict[str, Any]:
        """The job's line in ListTrainingJobs."""
        found = {
            "TrainingJobName": self.name,
            "TrainingJobArn": self.arn,
            "CreationTime": self._created,
            "LastModifiedTime": self._modified,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
        }
        optional = {"TrainingEndTime": self._modified if self.ended else None, "WarmPoolStatus": dict(self.warm_pool)}
        return found | {key: value for key, value in optional.items() if value}

    def state(self) -> dict[str, Any]:
        """What the rehearsal itself knows of it."""
        with self._lock:
            return {
                "name": self.name,
                "arn": self.arn,
                "status": self.status,
                "secondary": self.secondary,
                "failure": self.failure,
                "attempts": self.attempts,
                "pids": dict(self.pids),
                "directory": str(self.directory),
                "created": self._created,
                "modified": self._modified,
                "warm_pool": dict(self.warm_pool),
            }

    def _times(self) -> dict[str, Any]:
        if not self._on_instances:
            return {}
        found: dict[str, Any] = {"TrainingStartTime": self._on_instances[0][0]}
        if self.ended:
            seconds = math.ceil(sum(end - start for start, end in self._on_instances))
            billable = math.ceil(seconds * self._spot_share) if self.spot else seconds
            found |= {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": billable}
            found["TrainingEndTime"] = self._on_instances[-1][1]
        return found
