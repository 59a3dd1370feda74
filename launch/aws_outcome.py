"""What SageMaker says of a training job (the answer of ``DescribeTrainingJob``), in our words; pure."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
from collections.abc import Mapping
from typing import Any

from benchmark.bill import Bill
from benchmark.records import NO_SPACE, Failure, FailureKind

Description = Mapping[str, Any]
ENDED = ("Completed", "Failed", "Stopped")
_EXIT = re.compile(r"exit code:? (\d+)")
_CODES: Mapping[int, FailureKind] = {
    os.EX_CONFIG: "config",
    os.EX_UNAVAILABLE: "infrastructure",
    os.EX_IOERR: "config",
}
"""Exit codes of :mod:`launch.bootstrap` and of the job."""
_DEADLY = tuple(
    128 + each
    for each in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGTERM)
)
FULL = "the disk of the instance is full: set aws: {volume_gib: …} higher"


def has_ended(said: Description) -> bool:
    return said["TrainingJobStatus"] in ENDED


def lacked_capacity(said: Description) -> bool:
    """Whether AWS had no instance of this type: nobody's fault, and worth another try later."""
    return said.get("TrainingJobStatus") == "Failed" and str(said.get("FailureReason", "")).startswith("CapacityError")


def interruptions(said: Description) -> int:
    """How often AWS has taken a spot job's instance back."""
    return sum(each["Status"] == "Interrupted" for each in said.get("SecondaryStatusTransitions", ()))


def bill(said: Description) -> Bill:
    """What AWS will ask money for: of a job that has not ended, and of its request, not known yet; of one that never
    had an instance, nothing."""
    resources, never = said["ResourceConfig"], lacked_capacity(said)
    return Bill(
        instance_type=resources["InstanceType"],
        instances=int(resources["InstanceCount"]),
        billed_seconds=0.0 if never else _seconds(said, "BillableTimeInSeconds"),
        training_seconds=0.0 if never else _seconds(said, "TrainingTimeInSeconds"),
        spot=bool(said.get("EnableManagedSpotTraining")),
    )


def failure(said: Description, *, asked: bool) -> Failure:
    """Why an ended job has no result, as far as SageMaker knows; ``asked``: whether we had asked it to stop."""
    name = said["TrainingJobName"]
    if said["TrainingJobStatus"] == "Completed":
        return Failure("error", f"training job {name} has completed, and left no result")
    if said["TrainingJobStatus"] == "Failed":
        return _failed(" ".join(str(said.get("FailureReason", "without a reason")).split()))
    reason = said.get("SecondaryStatus")
    if reason == "MaxRuntimeExceeded":
        longest = said["StoppingCondition"]["MaxRuntimeInSeconds"]
        return Failure("timeout", f"stopped by SageMaker after {longest} seconds (launch: time_limit)")
    if reason == "MaxWaitTimeExceeded":
        longest = said["StoppingCondition"].get("MaxWaitTimeInSeconds")
        return Failure("timeout", f"no spot instance within {longest} seconds, waiting included (aws: max_wait)")
    return Failure("stopped", f"training job {name} was asked to stop{'' if asked else ', and not by us'}")


def translated(failure: Failure) -> Failure:
    """A program's own word; of a full disk it knows that there is none left, and not that it is the instance's."""
    if failure.kind == "infrastructure" and NO_SPACE in failure.message:
        return dataclasses.replace(failure, kind="config", message=FULL)
    return failure


def _failed(reason: str) -> Failure:
    codes = _EXIT.findall(reason)
    code = int(codes[-1]) if codes else None  # SageMaker's own word is the last; before it stands the program's
    if reason.startswith(("CapacityError", "InternalServerError")):
        return Failure("infrastructure", reason)
    if reason.startswith("ClientError"):
        return Failure("oom" if "more memory" in reason else "config", reason)
    if code == os.EX_IOERR or NO_SPACE in reason.lower():
        return Failure("config", FULL)
    if code in _DEADLY:
        return Failure("killed", f"the program was killed, perhaps for want of memory: {reason}")
    return Failure(_CODES.get(code, "error") if code is not None else "error", reason)


def _seconds(said: Description, name: str) -> float | None:
    return float(said[name]) if said.get(name) is not None else None
