"""What SageMaker says of an ended job, as a failure and as a bill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from benchmark.bill import Bill
from benchmark.records import FailureKind
from launch.aws_outcome import FULL, bill, failure, has_ended, interruptions, lacked_capacity

NAME = "quick-0123456789ab-fedcba-1"
LONGEST = {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 4200}


def said(status: str = "Failed", reason: str | None = None, secondary: str | None = None, **more: Any) -> Any:
    """An answer of DescribeTrainingJob."""
    found = {
        "TrainingJobName": NAME,
        "TrainingJobStatus": status,
        "SecondaryStatus": secondary or status,
        "StoppingCondition": LONGEST,
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 30},
        **more,
    }
    return found if reason is None else {**found, "FailureReason": reason}


@pytest.mark.parametrize("status", ["InProgress", "Stopping"])
def test_a_job_that_may_still_write_has_not_ended(status: str) -> None:
    assert not has_ended(said(status))


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped"])
def test_a_job_ends_in_three_ways(status: str) -> None:
    assert has_ended(said(status))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("CapacityError: Unable to provision requested ML compute capacity. Please retry.", "infrastructure"),
        ("InternalServerError: We encountered an internal error. Please try again.", "infrastructure"),
        ("ClientError: Cannot pull image 1.dkr.ecr.eu-west-1.amazonaws.com/x:1: not found", "config"),
        ("ClientError: Please use an instance type with more memory, or reduce the size of training data", "oom"),
        ("AlgorithmError: , exit code: 1", "error"),
        ("AlgorithmError: error: it broke, exit code: 1", "error"),
        ("AlgorithmError: the image lacks timm, and pip could not install it, exit code: 69", "infrastructure"),
        ("AlgorithmError: , exit code: 74", "config"),
        ("AlgorithmError: the image has Python 3.9; 3.11 or newer is needed, exit code: 78", "config"),
        ("AlgorithmError: , exit code: 137", "killed"),
        ("AlgorithmError: , exit code: 139", "killed"),
        ("AlgorithmError: , exit code: 134", "killed"),
        ("AlgorithmError: , exit code: 143", "killed"),
        ("AlgorithmError: it told of exit code 137 of a worker, exit code: 1", "error"),
        ("AlgorithmError: it told of exit code 78, exit code: 137", "killed"),
        ("AlgorithmError: config: OSError: No space left on device, exit code: 1", "config"),
        ("AlgorithmError: infrastructure: no space left: /opt/ml/checkpoints, exit code: 1", "config"),
        ("a reason of a kind that nobody has seen", "error"),
        ("", "error"),
    ],
)
def test_each_reason_has_its_kind(reason: str, kind: FailureKind) -> None:
    assert failure(said(reason=reason), asked=False).kind == kind


def test_the_reason_is_told_in_one_line() -> None:
    found = failure(said(reason="ClientError: Data\n  download\tfailed"), asked=False)
    assert found.message == "ClientError: Data download failed"
    assert "want of memory" in failure(said(reason="AlgorithmError: , exit code: 137"), asked=False).message


@pytest.mark.parametrize("reason", ["AlgorithmError: , exit code: 74", "AlgorithmError: No space left on device"])
def test_a_full_disk_of_the_instance_has_its_remedy(reason: str) -> None:
    assert failure(said(reason=reason), asked=False).message == FULL
    assert "volume_gib" in FULL


def test_a_failure_without_a_reason_says_so() -> None:
    assert failure(said(), asked=False).message == "without a reason"


@pytest.mark.parametrize(("asked", "words"), [(True, "was asked to stop"), (False, "and not by us")])
def test_a_stop_tells_whose_it_was(asked: bool, words: str) -> None:
    found = failure(said("Stopped"), asked=asked)
    assert found.kind == "stopped"
    assert found.message.endswith(words)
    assert NAME in found.message


@pytest.mark.parametrize(
    ("secondary", "seconds", "key"),
    [("MaxRuntimeExceeded", "600", "launch: time_limit"), ("MaxWaitTimeExceeded", "4200", "aws: max_wait")],
)
@pytest.mark.parametrize("asked", [True, False])
def test_a_limit_that_was_reached_is_a_timeout_whoever_asked(
    secondary: str, seconds: str, key: str, asked: bool
) -> None:
    found = failure(said("Stopped", secondary=secondary), asked=asked)
    assert found.kind == "timeout"
    assert seconds in found.message
    assert key in found.message


def test_a_completed_job_without_a_result_is_an_error() -> None:
    found = failure(said("Completed"), asked=False)
    assert (found.kind, NAME in found.message) == ("error", True)


@pytest.mark.parametrize(
    ("found", "lacked"),
    [
        (said(reason="CapacityError: Unable to provision"), True),
        (said(reason="AlgorithmError: CapacityError in my code, exit code: 1"), False),
        (said("Stopped", reason="CapacityError: Unable to provision"), False),
        (said(), False),
    ],
)
def test_only_a_failure_for_want_of_instances_is_worth_another_try(found: Mapping[str, Any], lacked: bool) -> None:
    assert lacked_capacity(found) == lacked


def test_interruptions_of_spot_are_counted() -> None:
    assert interruptions(said("InProgress")) == 0
    steps = ["Starting", "Training", "Interrupted", "Starting", "Training", "Interrupted", "Training"]
    assert interruptions(said("InProgress", SecondaryStatusTransitions=[{"Status": each} for each in steps])) == 2


def test_a_bill_has_what_sagemaker_says() -> None:
    found = bill(said(BillableTimeInSeconds=90, TrainingTimeInSeconds=250, EnableManagedSpotTraining=True))
    assert found == Bill("ml.m5.xlarge", 2, 90.0, 250.0, True)


def test_seconds_that_are_not_told_stay_unknown_and_none_are_none() -> None:
    unknown = bill(said())
    assert (unknown.billed_seconds, unknown.training_seconds, unknown.spot) == (None, None, False)
    nothing = bill(said(BillableTimeInSeconds=0, TrainingTimeInSeconds=0))
    assert (nothing.billed_seconds, nothing.training_seconds) == (0.0, 0.0)


def test_a_job_that_never_had_an_instance_costs_nothing() -> None:
    found = bill(said("Failed", FailureReason="CapacityError: Unable to provision", EnableManagedSpotTraining=True))
    assert found == Bill("ml.m5.xlarge", 2, 0.0, 0.0, True)


def test_a_request_has_a_bill_without_seconds() -> None:
    from tests.test_training_job import CASES

    assert bill(CASES["spot"].request()) == Bill("ml.m5.xlarge", 1, None, None, True)
    assert bill(CASES["hosts"].request()) == Bill("ml.m5.xlarge", 3, None, None, False)
