"""Runs as SageMaker training jobs in AWS.

A training job outlives this program; whoever comes next finds it by its name, which is written down before it is
asked for.  Its epochs are read from S3 while it runs, its outputs when it has ended.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Self

from benchmark import weights
from benchmark.aws_settings import ROLE_VARIABLE, AwsSettings
from benchmark.run import Run
from benchmark.rundir import RunDir
from launch import Job, Unavailable, aws_clients, deep_learning
from launch.aws_clients import LOGIN, Clients
from launch.aws_job import TrainingJob
from launch.aws_pace import Pace
from launch.aws_record import Record, is_open
from launch.aws_roll import Roll
from launch.aws_slots import Slots
from launch.aws_uploads import Uploads
from launch.training_job import Bucket, Inputs, Owner, Site, environment, request

POLL_SECONDS = 15.0
LOOKS_PER_SECOND, MOST_LOOKS = 3.0, 4.0
"""At jobs that run, of all of them together: as they are planned, and at most, with those whose end was told.  A look
describes a job, or takes what is new of its epochs, or both: so there are no more of either call."""
CREATES_PER_SECOND = 4.0
WAIT_SECONDS = 0.5
"""Nothing here is in more of a hurry."""
THREADS = 16
SERIES = "aws-series"
"""In a run's checkpoint directory: the first of the attempts that go on with one another."""
ROLE_REMEDY = f"write aws: {{role: NAME}}, or set {ROLE_VARIABLE}; docs/sagemaker.md says how to make one"


class Aws:
    """The launcher of mode ``aws``.

    Args:
        aws: what the user says of AWS.
        image: in ECR; by default a Deep Learning Container.
        deep_learning_image: a version of PyTorch, whose Deep Learning Container is taken.
        hosts: instances that train a run together.
        network_isolation: jobs that reach nothing but each other.
        time_limit: seconds that a job may train.

    Raises:
        Unavailable: there are no credentials that AWS accepts, no region, no role or no bucket.
    """

    remote = True

    def __init__(
        self,
        aws: AwsSettings,
        *,
        image: str | None = None,
        deep_learning_image: str | None = None,
        hosts: int = 1,
        network_isolation: bool = False,
        time_limit: float | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self.clients = Clients(aws.profile, aws.region)
        account, partition = _identity(self.clients)
        role = role_arn(aws, account, partition)
        bucket = Bucket.parse(aws.bucket or f"sagemaker-{self.clients.region_name}-{account}")
        _check_bucket(self.clients, bucket)
        self._version, self._images = deep_learning_image or deep_learning.VERSION, dict[bool, str]()
        self.site = Site(
            bucket,
            role,
            image or self._image(aws.instance_type),
            aws,
            hosts,
            network_isolation,
            time_limit,
        )
        self._fixed = image is not None
        self._uploads = Uploads(self.clients, bucket, aws.kms_key)
        self._pool = ThreadPoolExecutor(THREADS, "aws")
        self._slots: dict[str, Slots] = {}
        self._notices: list[str] = []
        self._said: set[str] = set()
        self._renewed = 0.0
        self.looks, self.creates = Pace(MOST_LOOKS), Pace(CREATES_PER_SECOND)
        self.roll = Roll(self.clients, aws.poll_seconds, self.notice)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._uploads.closing.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _image(self, instance_type: str) -> str:
        """The Deep Learning Container for processors, or for GPUs."""
        gpu = instance_type.startswith(("ml.g", "ml.p"))
        with self._lock:
            if gpu not in self._images:
                self._images[gpu] = deep_learning.image(self._version, instance_type, self.clients.region_name)
            return self._images[gpu]

    @property
    def place(self) -> str:
        """The image and the instance."""
        return f"{self.site.image} {self.site.settings.instance_type}"

    def prepare(self) -> None:
        """There is nothing to warm up."""

    def submit(self, run: Run, rundir: RunDir, attempt: int, data: Path, tasks: str = "train") -> Job:
        """The handle of a job that is uploaded and created while it is polled."""
        return TrainingJob(self, run, rundir, attempt, data, tasks)

    def adopt(self, run: Run, rundir: RunDir, attempt: int) -> Job | None:
        """The attempt whose request was written down and whose end was not."""
        record = Record.read(rundir.attempt(attempt)) if rundir.last_attempt == attempt and is_open(rundir) else None
        return TrainingJob(self, run, rundir, attempt, record=record) if record else None

    def wait(self, seconds: float) -> None:
        """Has the jobs listed when it is time."""
        if self.roll.is_due():
            self._pool.submit(self.roll.look)
        time.sleep(max(seconds, WAIT_SECONDS * min(1.0, self.scale)))

    def notices(self) -> Iterator[str]:
        """What happened since the last call."""
        while self._notices:
            yield self._notices.pop(0)

    def notice(self, text: str) -> None:
        """Says something once."""
        with self._lock:
            if text not in self._said:
                self._said.add(text)
                self._notices.append(text)

    def submit_step(self, step: Callable[[], None]) -> Future[None]:
        return self._pool.submit(step)

    def slots(self, instance_type: str) -> Slots:
        with self._lock:
            if instance_type not in self._slots:
                self._slots[instance_type] = Slots(instance_type, self.site.settings.concurrency, scale=self.scale)
            return self._slots[instance_type]

    @property
    def scale(self) -> float:
        """Of all waiting: the usual times belong to looks every 15 seconds."""
        return self.site.settings.poll_seconds / POLL_SECONDS

    @property
    def interval(self) -> float:
        """Seconds between two looks at a job, so that all of them stay within the API's limits."""
        with self._lock:
            living = sum(len(each.living) for each in self._slots.values())
        return max(self.site.settings.poll_seconds, living / LOOKS_PER_SECOND)

    def renew(self, words: str) -> None:
        """Credentials have expired: jobs go on without us until there are new ones."""
        self.notice(f"AWS does not accept the credentials any more ({words}); jobs go on. Renew them: {LOGIN}")
        with self._lock:
            if time.monotonic() - self._renewed < 1:
                return
            self._renewed = time.monotonic()
        try:
            self.clients.renew()
        except Unavailable as error:
            self.notice(str(error))

    def prepared(self, run: Run, rundir: RunDir, attempt: int, data: Path, tasks: str) -> Record:
        """Uploads what the job needs; the record of what will be asked for."""
        owner = Owner(*rundir.read_owner())
        checkpoints = owner.checkpoints(run, _series(rundir, attempt))
        code, images, config = self._uploads.code(), self._uploads.data(data), self._uploads.config(run, owner)
        place = weights.channel(run)
        inputs = Inputs(code, images, config, checkpoints, self._uploads.weights(place) if place else None)
        kind = self.site.instance_type(run)
        site = self.site if self._fixed else replace(self.site, image=self._image(kind))
        document = request(run, owner, attempt, site, inputs, environment(run, site, tasks))
        return Record(
            request=document,
            owner=owner.uuid,
            bucket=self.site.bucket.name,
            checkpoints=self.site.bucket.key(*checkpoints),
            region=self.clients.region_name,
            profile=self.site.settings.profile,
        )


def role_arn(aws: AwsSettings, account: str, partition: str = "aws") -> str:
    """The ARN of the role that jobs run as.

    Raises:
        Unavailable: none is named.
    """
    role = aws.role or os.environ.get(ROLE_VARIABLE)
    if not role:
        raise Unavailable(f"mode aws: no role for the training jobs: {ROLE_REMEDY}")
    return role if role.startswith("arn:") else f"arn:{partition}:iam::{account}:role/{role}"


def _identity(clients: Clients) -> tuple[str, str]:
    """Account and partition (``aws``, ``aws-cn`` …)."""
    try:
        return clients.identity()
    except aws_clients.FAILURES as error:
        remedy = LOGIN if aws_clients.trouble(error) in ("expired", "denied") else "look at the network"
        raise Unavailable(f"mode aws: AWS does not say who you are ({aws_clients.said(error)}): {remedy}") from error


def _check_bucket(clients: Clients, bucket: Bucket) -> None:
    try:
        clients("s3").head_bucket(Bucket=bucket.name)
    except aws_clients.FAILURES as error:
        if aws_clients.trouble(error) == "missing":
            region = clients.region_name
            remedy = f"`aws s3 mb s3://{bucket.name} --region {region}` makes it, or name another in aws: {{bucket: …}}"
            raise Unavailable(f"mode aws: there is no bucket {bucket.name}: {remedy}") from error
        if aws_clients.trouble(error) == "denied":
            raise Unavailable(f"mode aws: you may not use the bucket {bucket.name}: name one of yours") from error
        raise Unavailable(f"mode aws: bucket {bucket.name}: {aws_clients.said(error)}") from error


def _series(rundir: RunDir, attempt: int) -> int:
    """A run that begins anew has an empty checkpoint directory, and takes no checkpoints of the past."""
    path = rundir.checkpoint / SERIES
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(attempt))
    return int(path.read_text())
