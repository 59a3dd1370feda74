"""What a training job needs in S3: our code, decoded images and weights, once per digest, and the run.

Names hold digests, so that what is there is used in place.  A set of images counts as there once a list of its files
lies beside it, which is written last.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.failpoints import reach
from benchmark.run import Run
from launch import aws_clients, payload
from launch.aws_clients import Clients
from launch.training_job import Bucket, Owner

SMALL = 8 << 20
"""Bytes."""
CODE_SECONDS = 60.0
PACK = "pack.json"
"""The list of the runs that share a job."""


class Interrupted(Exception):
    """An upload was given up because the program ends."""


@dataclass
class Uploads:
    """Uploads into one bucket, from several threads; each thing once."""

    clients: Clients
    bucket: Bucket
    kms_key: str | None = None
    closing: threading.Event = field(default_factory=threading.Event)
    _code: tuple[str, ...] | None = None
    _read: float = 0.0
    _there: set[tuple[str, ...]] = field(default_factory=set)
    _locks: defaultdict[tuple[str, ...], threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def code(self) -> tuple[str, ...]:
        """Where our code lies, below the bucket's prefix; it is uploaded if it is not there.

        Many jobs that start within a minute do not have the files read for each of them.
        """
        with self._locks["code",]:
            if self._code is None or time.monotonic() > self._read + CODE_SECONDS:
                place = ("code", f"{payload.digest()[:32]}.tar.gz")
                if not self._exists(place):
                    self._put(place, payload.archive())
                self._code, self._read = place, time.monotonic()
            return self._code

    def data(self, directory: Path) -> tuple[str, ...]:
        """Where the decoded images of ``directory``, which is named after their digest, lie; uploaded if need be.

        Their description is in the name, too: it says in which version they are written.
        """
        name = f"{directory.name}-{hashlib.sha256((directory / 'data.json').read_bytes()).hexdigest()[:8]}"
        return self._files("data", name, directory)

    def weights(self, directory: Path) -> tuple[str, ...]:
        """Where the pretrained weights of ``directory``, which is named after their digest, lie, uploaded if need
        be."""
        return self._files("weights", directory.name, directory)

    def config(self, run: Run, owner: Owner) -> tuple[str, ...]:
        """Where ``run.json`` lies."""
        place = (*owner.home(run), "config")
        self._put((*place, "run.json"), json.dumps(run.to_json(), ensure_ascii=False).encode())
        return place

    def pack(self, runs: Sequence[Run], place: tuple[str, ...], time_limit: float | None) -> tuple[str, ...]:
        """Where the runs that share a job lie, below ``place``: ``run.json`` of each in a directory of its own, and
        last the list of them (:mod:`benchmark.training.pack`)."""
        for run in runs:
            self._put((*place, run.run_id, "run.json"), json.dumps(run.to_json(), ensure_ascii=False).encode())
        listed = {"runs": [run.run_id for run in runs], "time_limit": time_limit}
        self._put((*place, PACK), json.dumps(listed).encode())
        return place

    def _files(self, kind: str, name: str, directory: Path) -> tuple[str, ...]:
        place, listed = (kind, name), (kind, f"{name}.json")
        with self._locks[place]:
            if not self._exists(listed):
                sizes = {path.name: path.stat().st_size for path in sorted(directory.iterdir()) if _plain(path)}
                for each in sizes:
                    self._send(directory / each, (*place, each))
                    reach("aws.uploading")
                self._put(listed, json.dumps({"files": sizes}).encode())
        return place

    @property
    def _options(self) -> Mapping[str, str]:
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key} if self.kms_key else {}

    def _exists(self, place: tuple[str, ...]) -> bool:
        """Looked for once; to look needs ``s3:ListBucket``, without which S3 says 403 of what is not there."""
        if place in self._there:
            return True
        try:
            self.clients("s3").head_object(Bucket=self.bucket.name, Key=self.bucket.key(*place))
        except aws_clients.FAILURES as error:
            if aws_clients.trouble(error) != "missing":
                raise
            return False
        self._there.add(place)
        return True

    def _put(self, place: tuple[str, ...], content: bytes) -> None:
        key = self.bucket.key(*place)
        self.clients("s3").put_object(Bucket=self.bucket.name, Key=key, Body=content, **self._options)
        self._there.add(place)

    def _send(self, path: Path, place: tuple[str, ...]) -> None:
        def go_on(sent: int) -> None:
            if self.closing.is_set():
                raise Interrupted

        key, options = self.bucket.key(*place), dict(self._options)
        self.clients("s3").upload_file(str(path), self.bucket.name, key, ExtraArgs=options, Callback=go_on)


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def fetch(clients: Clients, uri: str, target: Path) -> bool:
    """Downloads ``s3://bucket/key`` to ``target``, which appears whole; whether it is there.

    What is small comes in one request, and what is large in parts, several at a time.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    partly = target.with_name(f".{target.name}.part")
    try:
        found = clients("s3").get_object(Bucket=bucket, Key=key)
        with closing(found["Body"]) as body:
            if found["ContentLength"] <= SMALL:
                with partly.open("wb") as file:
                    shutil.copyfileobj(body, file)
        if found["ContentLength"] > SMALL:
            clients("s3").download_file(bucket, key, str(partly))
    except aws_clients.FAILURES as error:
        partly.unlink(missing_ok=True)
        if aws_clients.trouble(error) != "missing":
            raise
        return False
    partly.replace(target)
    return True
