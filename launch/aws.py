"""Runs as SageMaker training jobs in AWS.

A training job outlives this program; whoever comes next finds it by its name, which is written down before it is
asked for.  Its epochs are read from S3 while it runs, its outputs when it has ended.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from benchmark import weights
from benchmark.aws_settings import ROLE_VARIABLE, AwsSettings
from benchmark.run import Run
from benchmark.rundir import BrokenFile, RunDir
from launch import Job, Unavailable, aws_clients, deep_learning
from launch.aws_clients import LOGIN, Clients
from launch.aws_gathering import Gathering
from launch.aws_job import TrainingJob
from launch.aws_member import Member, copy_checkpoints
from launch.aws_pace import Pace
from launch.aws_pack import Pack
from launch.aws_record import Record, close, is_committed, is_open
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
        time_limit: seconds that a run may train.
        share: how much of a training job a run takes: 1, or less where it is to share one with others like it.

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
        share: Callable[[Run], float] = lambda run: 1.0,
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
        self._share = share
        self.gathering: Gathering[Pack] = Gathering()
        self._adopted: dict[str, Pack] = {}
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
        """The handle of a job that is uploaded and created while it is polled, or of a run in one with others."""
        share = self._share(run)
        if share >= 1:
            return TrainingJob(self, run, rundir, attempt, data, tasks)
        member = Member(run, rundir, attempt)
        like = (data, weights.channel(run), tuple(environment(run, self._site(run), tasks).items()))
        member.pack = self.gathering.join(
            self.site.instance_type(run),
            like,
            share,
            make=lambda: Pack(self, run, rundir, attempt, data, tasks),
            add=lambda pack: pack.add(member),
        )
        return member

    def adopt(self, run: Run, rundir: RunDir, attempt: int) -> Job | None:
        """The attempt whose request was written down and whose end was not."""
        record = Record.read(rundir.attempt(attempt)) if rundir.last_attempt == attempt and is_open(rundir) else None
        if record is None:
            return None
        if not record.members:
            return TrainingJob(self, run, rundir, attempt, record=record)
        if not is_committed(rundir, record):
            close(rundir.attempt(attempt))
            return None
        pack = self._adopted.get(record.name) or Pack(self, run, rundir, attempt, record=record)
        self._adopted[record.name] = pack
        member = Member(run, rundir, attempt, pack, record)
        pack.add(member)
        return member

    def fits(self, run: Run) -> bool:
        """Each job has a machine of its own."""
        return True

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
        self._go_on_from(rundir, attempt, self.site.bucket.key(*checkpoints))
        inputs = self._inputs(run, data, self._uploads.config(run, owner), checkpoints)
        site = self._site(run)
        document = request(run, owner, attempt, site, inputs, environment(run, site, tasks))
        return self._record(document, owner, checkpoints)

    def prepared_pack(self, pack: Pack) -> Record:
        """The same for a job that several runs share: each of them has its record."""
        assert pack.data is not None
        owner, site, runs = pack.owner, self._site(pack.run), [each.run for each in pack.members]
        place = owner.pack(pack.run, pack.attempt)
        checkpoints = (*place, "checkpoints")
        config = self._uploads.pack(runs, (*place, "config"), site.time_limit)
        inputs = self._inputs(pack.run, pack.data, config, checkpoints)
        variables = environment(pack.run, site, pack.tasks)
        document = request(pack.run, owner, pack.attempt, site, inputs, variables, len(runs))
        listed = [[each.run.run_id, each.attempt] for each in pack.members]
        for each in pack.members:
            own = (*checkpoints, each.run.run_id)
            self._go_on_from(each.rundir, each.attempt, self.site.bucket.key(*own))
            each.record = self._record(document, owner, own, listed)
        return self._record(document, owner, own, listed)

    def _site(self, run: Run) -> Site:
        kind = self.site.instance_type(run)
        return self.site if self._fixed else replace(self.site, image=self._image(kind))

    def _inputs(self, run: Run, data: Path, config: tuple[str, ...], checkpoints: tuple[str, ...]) -> Inputs:
        code, images, place = self._uploads.code(), self._uploads.data(data), weights.channel(run)
        return Inputs(code, images, config, checkpoints, self._uploads.weights(place) if place else None)

    def _record(
        self,
        document: Mapping[str, Any],
        owner: Owner,
        checkpoints: tuple[str, ...],
        members: list[list[Any]] | None = None,
    ) -> Record:
        return Record(
            request=document,
            owner=owner.uuid,
            bucket=self.site.bucket.name,
            checkpoints=self.site.bucket.key(*checkpoints),
            region=self.clients.region_name,
            profile=self.site.settings.profile,
            members=members or [],
        )

    def _go_on_from(self, rundir: RunDir, attempt: int, place: str) -> None:
        """Brings the checkpoints of the attempt before to where this one looks for them: it may have been in a job
        with others, or alone."""
        for number in range(attempt - 1, _series(rundir, attempt) - 1, -1):
            if before := _known(rundir.attempt(number)):
                if before.checkpoints != place and before.bucket == self.site.bucket.name:
                    copy_checkpoints(self.clients, before.bucket, before.checkpoints, place)
                return


def _known(attempt: Path) -> Record | None:
    """A record that cannot be read is of no use any more."""
    with suppress(BrokenFile):
        return Record.read(attempt)
    return None


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
