"""A small evaluator of IAM policies, and which permissions a call needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

NONE_NEEDED = {("sts", "GetCallerIdentity")}
"""Who am I: anybody may ask."""
ACTIONS = {
    ("s3", "HeadObject"): "s3:GetObject",
    ("s3", "HeadBucket"): "s3:ListBucket",
    ("s3", "ListObjectsV2"): "s3:ListBucket",
    ("s3", "CreateMultipartUpload"): "s3:PutObject",
    ("s3", "UploadPart"): "s3:PutObject",
    ("s3", "CompleteMultipartUpload"): "s3:PutObject",
}
"""Where the permission is not called as the operation is."""
PASSED = {"iam:PassedToService": "sagemaker.amazonaws.com"}


@dataclass(frozen=True)
class Need:
    """A permission that a call needs; ``context`` are the values of condition keys."""

    action: str
    resource: str
    context: Mapping[str, str]


def needs(call: Mapping[str, Any]) -> Iterator[Need]:
    """What a call needs, as the rehearsal has recorded it."""
    service, operation, resources = call["service"], call["operation"], call["resources"]
    if (service, operation) in NONE_NEEDED:
        return
    action = ACTIONS.get((service, operation), f"{service}:{operation}")
    if operation == "CreateTrainingJob":
        job, role = resources
        yield Need("iam:PassRole", role, PASSED)
        yield Need("sagemaker:AddTags", job, {})
        resources = [job]
    for resource in resources or ["*"]:
        yield Need(action, resource, {})


@dataclass(frozen=True)
class Policy:
    """A policy document, its placeholders filled."""

    statements: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, path: Path, values: Mapping[str, str]) -> Policy:
        text = path.read_text(encoding="utf-8")
        for name, value in values.items():
            text = text.replace(name, value)
        return cls(json.loads(text)["Statement"])

    @property
    def actions(self) -> set[str]:
        return {action for each in self.statements for action in several(each["Action"])}

    def allows(self, need: Need) -> bool:
        return any(_applies(each, need) for each in self.statements)


def several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _applies(statement: Mapping[str, Any], need: Need) -> bool:
    assert statement["Effect"] == "Allow", "there is no order to be kept where nothing is denied"
    return (
        any(fnmatchcase(need.action.lower(), each.lower()) for each in several(statement["Action"]))
        and any(fnmatchcase(need.resource, each) for each in several(statement["Resource"]))
        and all(_holds(*each, need.context) for each in statement.get("Condition", {}).items())
    )


def _holds(operator: str, wanted: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    assert operator in ("StringEquals", "StringLike"), operator
    return all(
        key in context and any(fnmatchcase(context[key], each) for each in several(values))
        for key, values in wanted.items()
    )
