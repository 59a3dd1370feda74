"""What lies below an address in S3, for the data source ``s3``: the listing, and the content of objects.

The account is that of the environment (``AWS_PROFILE`` and the like), in every mode.  A region is needed only to sign
what is asked for: S3 says where the bucket is, and boto3 goes there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark.data.address import Address
from benchmark.data.datacache import DataError
from benchmark.durable import flush
from launch import Unavailable, aws_clients
from launch.aws_clients import LOGIN, Clients, Trouble

REGION = "us-east-1"
"""Where none is set."""
TRIES = 3
"""Of a download that breaks off; what fails before it begins is tried again by botocore."""
REMEDIES: Mapping[Trouble, str] = {
    "expired": f"AWS does not accept the credentials: {LOGIN}",
    "busy": "S3 has too much to do: run the command again later",
    "away": "S3 cannot be reached: look at the network, and run the command again",
    "missing": "there is no such bucket: correct `path`, or set AWS_PROFILE to a profile of the account that has it",
    "denied": "you may not read it: s3:ListBucket of the bucket and s3:GetObject of its objects are needed; ask its "
    "owner, or set AWS_PROFILE to another profile",
}
_CHANGED = ("PreconditionFailed", "NoSuchKey")


@dataclass(frozen=True)
class Stored:
    """One version of an object: its size in bytes, and what S3 calls its content."""

    size: int
    etag: str


@dataclass(frozen=True)
class Objects:
    """The objects below an address; keys are those behind its prefix."""

    address: Address
    clients: Clients

    def listing(self) -> dict[str, Stored]:
        """Every object, by its key.

        Raises:
            DataError: S3 does not say, with the reason and the remedy.
        """
        pages = self.clients("s3").get_paginator("list_objects_v2")
        try:
            return {
                each["Key"].removeprefix(self._prefix): Stored(int(each["Size"]), str(each["ETag"]))
                for page in pages.paginate(Bucket=self.address.bucket, Prefix=self._prefix)
                for each in page.get("Contents", ())
            }
        except aws_clients.FAILURES as error:
            raise _told(str(self.address), error) from error

    def download(self, key: str, stored: Stored, path: Path) -> None:
        """Writes this version of an object to ``path``; what is there afterwards is whole and on disk.

        Raises:
            DataError: it is another version now, or cannot be had.
            OSError: the file cannot be written.
        """
        for left in reversed(range(TRIES)):
            try:
                return self._write(key, stored, path)
            except aws_clients.FAILURES as error:
                if not left or aws_clients.trouble(error) != "away":
                    raise _told(f"{self.address}/{key}", error) from error
        raise AssertionError("the last try returns or raises")

    @property
    def _prefix(self) -> str:
        return f"{self.address.prefix}/" if self.address.prefix else ""

    def _write(self, key: str, stored: Stored, path: Path) -> None:
        place = {"Bucket": self.address.bucket, "Key": self._prefix + key}
        body = self.clients("s3").get_object(**place, IfMatch=stored.etag)["Body"]
        with closing(body), path.open("wb") as file:
            shutil.copyfileobj(body, file)
            flush(file)


@contextmanager
def opened(address: Address) -> Iterator[Objects]:
    """The objects below ``address``, with the credentials of the environment.

    Raises:
        DataError: there are none.
    """
    try:
        clients = Clients(otherwise=REGION, purpose=str(address))
    except Unavailable as error:
        raise DataError(str(error)) from error
    try:
        yield Objects(address, clients)
    finally:
        clients("s3").close()


def _told(place: str, error: Exception) -> DataError:
    """The error of a call in words, with the remedy."""
    if aws_clients.code(error) in _CHANGED:
        return DataError(f"{place}: changed while it was being downloaded; run the command again")
    remedy = REMEDIES.get(aws_clients.trouble(error), "S3 refuses it")
    return DataError(f"{place}: {remedy} ({aws_clients.said(error)})")
