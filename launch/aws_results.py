"""What a training job leaves: its epochs while it runs, and its outputs and log when it has ended."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import rundir
from benchmark.durable import atomic, sync_directory
from benchmark.failpoints import reach
from benchmark.rundir import BrokenFile, RunDir
from launch import aws_clients
from launch.aws_clients import Clients
from launch.aws_outcome import Description
from launch.aws_uploads import fetch

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
MOST_LOG = 10 << 20
"""Bytes of each host's log that are kept."""
KEPT = (*rundir.OUTPUTS, "model.safetensors")
SECONDS = "seconds.json"
BESIDE = ("log.txt", SECONDS)
"""What a run that shares its job leaves beside: its own lines of the log, and the seconds that it has had."""


@dataclass
class Mirror:
    """``events.jsonl`` as SageMaker mirrors it to S3; ``key`` is where, in ``bucket``."""

    clients: Clients
    bucket: str
    key: str
    rundir: RunDir
    _etag: str = ""

    def look(self) -> bool:
        """Takes what is new; whether there was something.  An epoch that is known stays."""
        known: dict[str, str] = {"IfNoneMatch": self._etag} if self._etag else {}
        try:
            found = self.clients("s3").get_object(Bucket=self.bucket, Key=self.key, **known)
            content, self._etag = found["Body"].read(), str(found["ETag"])
        except aws_clients.FAILURES as error:
            if aws_clients.trouble(error) == "missing" or aws_clients.code(error) in ("304", "NotModified"):
                return False
            raise
        path = self.rundir.events_path
        if path.exists() and path.stat().st_size >= len(content):
            return False
        with atomic(path) as file:
            file.write(content)
        return True


def collect(clients: Clients, said: Description, rundir_: RunDir, attempt: Path) -> None:
    """Brings an ended job's outputs into the run directory, ``result.json`` last, and its log into the attempt's.

    Raises:
        BrokenFile: they cannot be unpacked.
    """
    write_log(clients, said["TrainingJobName"], attempt / "log.txt")
    take(clients, archives(said), rundir_, attempt)


def take(clients: Clients, uris: Iterable[str], rundir_: RunDir, attempt: Path, below: str = "") -> bool:
    """Brings what lies in these archives into the run directory, ``result.json`` last; whether there was any.

    Args:
        below: the directory of the archives whose files are meant; by default all.

    Raises:
        BrokenFile: they cannot be unpacked.
    """
    scratch, there = attempt / "outputs", False
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        for uri in uris:
            packed = scratch / "packed.tar.gz"
            if fetch(clients, uri, packed):
                there |= _unpack(packed, scratch, below)
        for name in BESIDE:
            if (scratch / name).is_file():
                (scratch / name).replace(attempt / name)
        for name in sorted(KEPT, key=lambda each: each == "result.json"):
            if (scratch / name).is_file():
                if name == "result.json":
                    reach("aws.collected")
                    sync_directory(rundir_.path)
                (scratch / name).replace(rundir_.path / name)
        sync_directory(rundir_.path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return there


def remove_checkpoints(clients: Clients, bucket: str, prefix: str) -> None:
    """When a run has its result; the epochs stay."""
    pages = clients("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    keys = [each["Key"] for page in pages for each in page.get("Contents", ()) if each["Key"].endswith(".pt")]
    for key in keys:
        clients("s3").delete_object(Bucket=bucket, Key=key)


def write_log(clients: Clients, name: str, target: Path) -> None:
    """All that the job's hosts have printed, one after the other; nothing where there is no log."""
    with atomic(target) as file:
        hosts = list(streams(clients, name))
        for stream in hosts:
            if len(hosts) > 1:
                file.write(f"== {stream.partition('/')[2].rpartition('-')[0]} ==\n".encode())
            size = 0
            for page in pages(clients, stream):
                size += file.write(b"".join(page.lines))
                if size > MOST_LOG:
                    file.write(f"[cut: more is in CloudWatch, {LOG_GROUP}, {stream}]\n".encode())
                    break


def streams(clients: Clients, name: str) -> Iterator[str]:
    """The names of a job's log streams, one a host, sorted."""
    try:
        pages = clients("logs").get_paginator("describe_log_streams")
        found = pages.paginate(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{name}/")
        yield from sorted(each["logStreamName"] for page in found for each in page["logStreams"])
    except aws_clients.FAILURES as error:
        if aws_clients.trouble(error) != "missing":
            raise


@dataclass(frozen=True)
class Page:
    """Lines of a stream, and the token with which a later look goes on."""

    lines: tuple[bytes, ...]
    token: str


def pages(clients: Clients, stream: str, token: str = "") -> Iterator[Page]:
    """What is in a stream, from the first line, or from where ``token`` says."""
    while True:
        known: dict[str, Any] = {"nextToken": token} if token else {}
        found = clients("logs").get_log_events(
            logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, **known
        )
        before, token = token, str(found["nextForwardToken"])
        yield Page(tuple(each["message"].encode() + b"\n" for each in found["events"]), token)
        if token == before or not found["events"]:
            return


def archives(said: Description) -> Iterator[str]:
    """Where an ended job's outputs are."""
    home = f"{said['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{said['TrainingJobName']}/output"
    yield f"{home}/output.tar.gz"
    yield str(said.get("ModelArtifacts", {}).get("S3ModelArtifacts") or f"{home}/model.tar.gz")


def _unpack(packed: Path, target: Path, below: str = "") -> bool:
    """Only files that we know by name, whatever directory of a host they lie in, or those ``below`` one; whether there
    were any."""
    found = False
    try:
        with tarfile.open(packed) as tar:
            for member in tar:
                *places, name = Path(member.name).parts or ("",)
                known = name in (*KEPT, *BESIDE) and (not below or below in places)
                if known and member.isfile() and (content := tar.extractfile(member)):
                    found = True
                    with (target / name).open("wb") as file:
                        shutil.copyfileobj(content, file)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise BrokenFile(f"what the job left in S3 cannot be unpacked: {error}") from error
    return found
