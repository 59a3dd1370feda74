"""Whether the channels of a request have objects: asked when a job is created, or found out when it downloads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from launch.rehearsal.answers import AwsError
from launch.rehearsal.storage import Storage, split
from launch.rehearsal.validation import INVALID


def no_objects(uri: str, region: str, role: str) -> str:
    """The service's words for a prefix without objects."""
    return (
        f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket exists in '
        f"the selected region ({region}), that objects exist under that S3 prefix, and that the role "
        f'"{role}" has "s3:ListBucket" permissions on bucket "{split(uri)[0]}".'
    )


def check(request: Mapping[str, Any], region: str, storage: Storage) -> None:
    """Looks for the objects of all channels.

    Raises:
        AwsError: ``ValidationException``, where there are none.
    """
    for channel in request.get("InputDataConfig", ()):
        uri = channel["DataSource"].get("S3DataSource", {}).get("S3Uri", "")
        if uri and not _any(uri, storage):
            raise AwsError(INVALID, no_objects(uri, region, request["RoleArn"]))


def _any(uri: str, storage: Storage) -> bool:
    try:
        return next(storage.under(uri), None) is not None
    except FileNotFoundError:
        return False
