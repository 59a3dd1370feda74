"""Requests against botocore's own model of SageMaker: types, limits, patterns, and what the service checks beside.

botocore checks types and required members before it sends; lengths, patterns and allowed values only the service
does, and so does this file, in the service's words.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from launch.rehearsal.answers import AwsError

INVALID = "ValidationException"
_UNITS = {"string": "length", "list": "length", "map": "length"}


@functools.cache
def _model() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")


def validate(operation: str, request: Mapping[str, Any]) -> None:
    """Checks a request.

    Raises:
        AwsError: ``ValidationException``, with everything that is wrong.
    """
    shape = _model().operation_model(operation).input_shape
    if report := ParamValidator().validate(request, shape).generate_report():
        raise AwsError(INVALID, report)
    found = list(_violations(shape, request, ""))
    if found:
        count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: "
        raise AwsError(INVALID, count + "; ".join(found))
    if operation == "CreateTrainingJob":
        for wrong in _beside(request):
            raise AwsError(INVALID, wrong)


def _violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    yield from _own(shape, value, path)
    if shape.type_name == "structure":
        for key, item in value.items():
            yield from _violations(shape.members[key], item, f"{path}.{key}".lstrip("."))
    elif shape.type_name == "list":
        for number, item in enumerate(value, 1):
            yield from _violations(shape.member, item, f"{path}.{number}.member")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from _violations(shape.key, key, path)
            yield from _violations(shape.value, item, f"{path}.{key}.member")


def _own(shape: Any, value: Any, path: str) -> Iterator[str]:
    for constraint in _constraints(shape, value):
        shown = repr(value) if shape.type_name == "string" else f"'{value}'"
        where = path[:1].lower() + path[1:]
        yield f"Value {shown} at '{where}' failed to satisfy constraint: Member must {constraint}"


def _constraints(shape: Any, value: Any) -> Iterator[str]:
    limits = shape.metadata
    size = len(value) if shape.type_name in _UNITS else value
    unit = _UNITS.get(shape.type_name, "value")
    if "enum" in limits and value not in limits["enum"]:
        yield f"satisfy enum value set: [{', '.join(limits['enum'])}]"
    if "max" in limits and size > limits["max"]:
        yield f"have {unit} less than or equal to {limits['max']}"
    if "min" in limits and size < limits["min"]:
        yield f"have {unit} greater than or equal to {limits['min']}"
    if "pattern" in limits and not _fits(limits["pattern"], value):
        yield f"satisfy regular expression pattern: {limits['pattern']}"


def _fits(pattern: str, value: str) -> bool:
    r"""The patterns are Java's; what Python does not know (``\p{Alnum}``) is let through."""
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        return True


def _beside(request: Mapping[str, Any]) -> Iterator[str]:
    """What the model does not say."""
    for name in ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition"):
        if name not in request:
            yield f"{name} is required"
    algorithm, resources = request["AlgorithmSpecification"], request["ResourceConfig"]
    if ("TrainingImage" in algorithm) == ("AlgorithmName" in algorithm):
        yield "You must specify exactly one of TrainingImage and AlgorithmName"
    if "InstanceType" not in resources or resources.get("InstanceCount", 0) < 1:
        yield "ResourceConfig needs an InstanceType, and an InstanceCount of at least 1"
    channels = [each["ChannelName"] for each in request.get("InputDataConfig", ())]
    if len(channels) > len(set(channels)):
        yield "Channel names must be unique"
    yield from _time(request)


def _time(request: Mapping[str, Any]) -> Iterator[str]:
    limits, spot = request["StoppingCondition"], request.get("EnableManagedSpotTraining")
    most = limits.get("MaxRuntimeInSeconds", 86400)
    if spot and limits.get("MaxWaitTimeInSeconds", 0) < most:
        yield "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
    if not spot and "MaxWaitTimeInSeconds" in limits:
        yield "MaxWaitTimeInSeconds is only supported for managed spot training"
    if spot and request["ResourceConfig"].get("KeepAlivePeriodInSeconds"):
        yield "KeepAlivePeriodInSeconds is not supported for managed spot training"
