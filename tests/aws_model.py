"""Requests against the service's own model: every type, required member, length, range, pattern and choice in it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

SIZED = ("string", "list", "map")


@functools.cache
def shape(operation: str) -> Any:
    return botocore.session.get_session().get_service_model("sagemaker").operation_model(operation).input_shape


def problems(document: Any, operation: str = "CreateTrainingJob") -> list[str]:
    """What the service would refuse; empty for a request that it takes."""
    report = ParamValidator().validate(document, shape(operation)).generate_report()
    return report.splitlines() if report else list(walk(shape(operation), document, operation))


def walk(found: Any, value: Any, place: str) -> Iterator[str]:
    """What of ``value``, and of everything in it, is beyond the limits of its shape."""
    yield from (f"{place}: {wrong}" for wrong in limits(found.metadata, found.type_name, value))
    if found.type_name == "structure":
        for name, each in value.items():
            yield from walk(found.members[name], each, f"{place}.{name}")
    elif found.type_name == "list":
        for number, each in enumerate(value):
            yield from walk(found.member, each, f"{place}[{number}]")
    elif found.type_name == "map":
        for name, each in value.items():
            yield from walk(found.key, name, f"{place}.{name}")
            yield from walk(found.value, each, f"{place}.{name}")


def limits(metadata: Any, kind: str, value: Any) -> Iterator[str]:
    size = len(value) if kind in SIZED else value
    if "min" in metadata and size < metadata["min"]:
        yield f"{size} is less than {metadata['min']}"
    if "max" in metadata and size > metadata["max"]:
        yield f"{size} is more than {metadata['max']}"
    if "enum" in metadata and value not in metadata["enum"]:
        yield f"{value!r} is no choice"
    if "pattern" in metadata and not re.fullmatch(translated(metadata["pattern"]), value):
        yield f"{value!r} does not fit {metadata['pattern']}"


def translated(pattern: str) -> str:
    """In the words of ``re``: letters of any script are what is neither a digit nor an underscore nor no word."""
    return pattern.replace(r"\p{L}", r"\w").replace(r"\p{Z}", r"\s").replace(r"\p{N}", r"\d")
