"""The server's own requests to S3, CloudWatch Logs and IAM: the only file of the rehearsal that imports boto3."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3  # noqa: TID251 - the one file that may
from botocore.config import Config
from botocore.exceptions import ClientError

from launch.rehearsal.within import Wsgi, within

SMALL = 1 << 20
"""Bytes."""


class Clients:
    """Clients of the server at ``url``, made when they are first used and shared by all threads.

    Their requests go straight to its ``application``, without a connection.
    """

    def __init__(self, url: str, access_key: str, application: Wsgi) -> None:
        self._url, self._key, self._lock = url, access_key, threading.Lock()
        self._send = within(application)
        self._made: dict[tuple[str, str], Any] = {}

    def get(self, service: str, region: str = "us-east-1") -> Any:
        with self._lock:
            if (service, region) not in self._made:
                client = boto3.client(
                    service,
                    region_name=region,
                    endpoint_url=self._url,
                    aws_access_key_id=self._key,
                    aws_secret_access_key="unchecked",  # noqa: S106 - see keys.py
                    config=Config(max_pool_connections=64, retries={"mode": "standard", "total_max_attempts": 5}),
                )
                client.meta.events.register("before-send", self._send)
                self._made[service, region] = client
            return self._made[service, region]


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key


def joined(uri: str, *parts: str) -> str:
    return "/".join([uri.rstrip("/"), *parts])


class Storage:
    """Files to and from S3."""

    def __init__(self, clients: Clients) -> None:
        self._s3 = clients.get("s3")

    def under(self, uri: str) -> Iterator[tuple[str, str]]:
        """Each key with this prefix, and its path below: what follows the prefix where that is a folder, else the
        name behind the prefix's last slash.

        Raises:
            FileNotFoundError: there is no such bucket.
        """
        bucket, prefix = split(uri)
        try:
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for each in page.get("Contents", ()):
                    if not each["Key"].endswith("/"):
                        yield each["Key"], _below(each["Key"], prefix)
        except ClientError as error:
            raise FileNotFoundError(f"{uri}: {error}") from None

    def download(self, uri: str, directory: Path, *, shard: tuple[int, int] = (0, 1)) -> int:
        """Everything with this prefix, or every ``n``-th object of it: how many objects that was."""
        bucket, found = split(uri)[0], list(self.under(uri))
        for key, path in found[shard[0] :: shard[1]]:
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._s3.download_file(bucket, key, str(target))
        return len(found)

    def upload(self, path: Path, uri: str) -> None:
        """Small files in one request, without the threads that large ones are sent by."""
        bucket, key = split(uri)
        if path.stat().st_size <= SMALL:
            self.put(path.read_bytes(), uri)
        else:
            self._s3.upload_file(str(path), bucket, key)

    def put(self, content: bytes, uri: str) -> None:
        bucket, key = split(uri)
        self._s3.put_object(Bucket=bucket, Key=key, Body=content)

    def delete(self, uri: str) -> None:
        bucket, key = split(uri)
        self._s3.delete_object(Bucket=bucket, Key=key)


def _below(key: str, prefix: str) -> str:
    rest = key.removeprefix(prefix)
    if rest and (prefix.endswith("/") or rest.startswith("/")):
        return rest.lstrip("/")
    return key[prefix.rfind("/") + 1 :]
