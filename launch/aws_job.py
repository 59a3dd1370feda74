"""The handle of one attempt that is a SageMaker training job: uploads, creates, watches, collects, a step at a time.

Whoever polls gets what is known and, when a step is due, has it done in another thread.  No error of AWS's ends a job
that may live: the step is done again later, and the user is told.
"""

from __future__ import annotations

import dataclasses
import re
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark.bill import write_bill
from benchmark.durable import FULL
from benchmark.failpoints import reach
from benchmark.records import NO_SPACE, Failure
from benchmark.run import Run
from benchmark.rundir import BrokenFile, RunDir
from launch import JobState, Unavailable, aws_clients, aws_outcome, aws_results
from launch.aws_outcome import Description
from launch.aws_record import Record, close
from launch.aws_results import Mirror
from launch.aws_uploads import Interrupted
from launch.training_job import OWNER_TAG

if TYPE_CHECKING:
    from launch.aws import Aws

Phase = Literal["gather", "prepare", "create", "watch", "collect", "ended"]
"""Each but the last is the name of a step; only a job that several runs share (:mod:`launch.aws_pack`) gathers."""
RUNNING = JobState("running")
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 120.0
"""Seconds until a step that failed is done again, doubled each time."""
RENEW_SECONDS = 15.0
"""Between looks for new credentials."""
MOST_UPLOADS = 5
"""So often an upload is tried before the attempt has failed."""
UNSEEN_LOOKS = 5
"""So often SageMaker may not know a job that it has just taken."""
_QUOTA = re.compile(r"is (\d+) Instances")
SLOT_SECONDS = 5.0
"""Until a job asks again whether one more may live."""
UNSURE_SECONDS = 600.0
"""Without news of a job for so long, it is described all the same."""
CAPACITY_SECONDS = 300.0
"""Until a run is tried again for which there was no instance."""


@dataclass
class TrainingJob:
    """One attempt.  ``record`` is what an earlier process left of it, when it is adopted; else ``data`` and ``tasks``
    say what to start."""

    aws: Aws
    run: Run
    rundir: RunDir
    attempt: int
    data: Path | None = None
    tasks: str = "train"
    record: Record | None = None
    said: Description = field(default_factory=dict)
    _phase: Phase = "prepare"
    _state: JobState = RUNNING
    _due: float = 0.0
    _described: float = float("-inf")
    _tries: int = 0
    _asked: bool = False
    _told: bool = False
    _interruptions: int = 0
    _adopted: bool = False
    _mirror: Mirror | None = None
    _step: Future[None] | None = None

    def __post_init__(self) -> None:
        if self.record is not None:
            self._phase, self._adopted = "watch", True
            self._slots.found(self.record.name)
            self.aws.roll.watch(self.record.name)

    def poll(self) -> JobState:
        """What is known; begins the next step when it is due."""
        if self._step is not None and self._step.done():
            self._step.result()
            self._step = None
        if self._step is None and self._phase != "ended" and (self._is_called() or time.monotonic() >= self._due):
            self._step = self.aws.submit_step(self._go_on)
        return self._state

    def cancel(self) -> None:
        """Has the job stopped; it has two minutes to end, and its outputs are fetched."""
        self._asked, self._due = True, 0.0

    def cpu_seconds(self) -> float | None:
        """Nobody here knows."""
        return None

    @property
    def directory(self) -> Path:
        return self.rundir.attempt(self.attempt)

    @property
    def _slots(self) -> Any:
        return self.aws.slots(self.aws.site.instance_type(self.run))

    def _is_called(self) -> bool:
        """Whether a listing has told of the job."""
        if self._phase != "watch" or self.record is None or not self.aws.roll.take(self.record.name):
            return False
        self._described = float("-inf")
        return True

    def _go_on(self) -> None:
        """Steps, for as long as one makes the next one due."""
        before: Phase | None = None
        while before is None or (self._phase not in (before, "ended") and time.monotonic() >= self._due):
            before = self._phase
            self._do()

    def _do(self) -> None:
        """A step, or what becomes of one that fails."""
        try:
            getattr(self, f"_{self._phase}")()
        except aws_clients.FAILURES as error:
            self._cope(error)
        except Interrupted:
            self._wait(RENEW_SECONDS * self.aws.scale)
        except Unavailable as error:
            self._end(Failure("config", str(error)))
        except BrokenFile as error:  # what an ended job has left, or what its run directory holds
            self._end(Failure("error", str(error)))
        except OSError as error:
            self._stumble(error)

    def _stumble(self, error: OSError) -> None:
        """Over this machine: a job that may live is looked for again, and fetched when there is room."""
        if self._phase == "prepare":
            full = f"{NO_SPACE}: " * (error.errno in FULL)
            return self._end(Failure("infrastructure", f"{full}{error}"))
        self._tries += 1
        self.aws.notice(f"{error}: what runs in AWS goes on, and is fetched when this is mended")
        return self._wait(RENEW_SECONDS * self.aws.scale)

    def _prepare(self) -> None:
        if self._asked:
            return self._end(Failure("stopped", "stopped before it was started"))
        assert self.data is not None
        self.record = self.aws.prepared(self.run, self.rundir, self.attempt, self.data, self.tasks)
        reach("aws.uploaded")
        return self._next("create")

    def _create(self) -> None:
        """The record is written before the call: a lost answer, or our death, is seen by whoever comes next."""
        assert self.record is not None
        if self._asked:
            self._adopted = True  # the answer to an earlier call may be lost
            return self._next("watch")
        if not self._slots.take(self.record.name):
            return self._wait(SLOT_SECONDS * self.aws.scale)
        if seconds := self.aws.creates.turn(self.record.name):
            return self._wait(seconds)
        self._write_down()
        reach("aws.recorded")
        self.aws.clients("sagemaker").create_training_job(**self.record.request)
        reach("aws.created")
        self._slots.created()
        self._begin_bill()
        self._described = time.monotonic()
        self.aws.roll.watch(self.record.name)
        return self._next("watch", self.aws.interval)

    def _write_down(self) -> None:
        assert self.record is not None
        self.record.write(self.directory)

    def _begin_bill(self) -> None:
        assert self.record is not None
        write_bill(self.directory, aws_outcome.bill(self.record.request))

    def _watch(self) -> None:
        """A look, at the job itself or, where a listing says that nothing has happened, at its epochs only."""
        assert self.record is not None
        if seconds := self.aws.looks.turn(self.record.name):
            return self._wait(seconds)
        if self._is_quiet():
            self._tail()
            return self._next("watch", self.aws.interval)
        self.said = self.aws.clients("sagemaker").describe_training_job(TrainingJobName=self.record.name)
        self._described = time.monotonic()
        if self._adopted:
            self._check_owner()
        if self._phase != "watch":
            return None
        if aws_outcome.has_ended(self.said):
            return self._next("collect")
        if self._asked and not self._told:
            self.aws.clients("sagemaker").stop_training_job(TrainingJobName=self.record.name)
            self._told = True
        self._tell_of_interruptions()
        self._tail()
        return self._next("watch", self.aws.interval)

    def _is_quiet(self) -> bool:
        """Whether there is no need to ask for the job itself."""
        sure = time.monotonic() - self._described < UNSURE_SECONDS * self.aws.scale
        return sure and not (self._asked or self._adopted) and self.aws.roll.vouches

    def _tail(self) -> None:
        """At what has come to S3."""
        if self._mirror is None:
            self._mirror = self._make_mirror()
        self._mirror.look()

    def _collect(self) -> None:
        assert self.record is not None
        self._slots.give(self.record.name)
        self.aws.roll.forget(self.record.name)
        reach("aws.ended")
        self._make_mirror().look()
        write_bill(self.directory, aws_outcome.bill(self.said))
        aws_results.collect(self.aws.clients, self.said, self.rundir, self.directory)
        if self.rundir.read_result() is not None:
            reach("aws.finished")
            aws_results.remove_checkpoints(self.aws.clients, self.record.bucket, self.record.checkpoints)
            return self._end(None)
        if aws_outcome.lacked_capacity(self.said):
            return self._end(aws_outcome.failure(self.said, asked=False), again=CAPACITY_SECONDS * self.aws.scale)
        return self._end(self._failure())

    def _failure(self) -> Failure:
        """The program's own word, unless it was ended from outside; a full disk there is not ours."""
        known = aws_outcome.failure(self.said, asked=self._asked)
        own = self.rundir.read_failure() if known.kind not in ("timeout", "stopped") else None
        if own is not None and own.kind == "stopped":
            own = None  # nobody asked: another host has died
        found = aws_outcome.translated(own or known)
        self.rundir.write_failure(dataclasses.replace(found, time=found.time or time.time()))
        return found

    def _end(self, failure: Failure | None, *, again: float | None = None) -> None:
        """Everything of the job is here, or there is none."""
        if self.record is not None:
            self._slots.give(self.record.name)
            self.aws.roll.forget(self.record.name)
        close(self.directory)
        if failure is not None and not failure.time:
            failure = dataclasses.replace(failure, time=time.time())
        log = self.rundir.log_path(self.attempt)
        if failure is not None and not log.exists():
            log.write_text(f"{failure.kind}: {failure.message}\n", encoding="utf-8")  # there was no job
        self._phase, self._state = "ended", JobState("ended", failure, again)

    def _next(self, phase: Phase, seconds: float = 0.0) -> None:
        self._phase, self._tries, self._due = phase, 0, time.monotonic() + seconds

    def _wait(self, seconds: float) -> None:
        self._due = time.monotonic() + seconds

    def _cope(self, error: Exception) -> None:
        """With an error of AWS's: what is done again, and what is the end."""
        trouble, words = aws_clients.trouble(error), aws_clients.said(error)
        self._tries += 1
        if trouble == "expired":
            self.aws.renew(words)
            return self._wait(RENEW_SECONDS * self.aws.scale)
        if trouble == "quota" and self._phase == "create":
            return self._park(words)
        if trouble == "exists" and self._phase == "create":
            self._adopted = True
            return self._next("watch")
        if trouble == "missing" and self._phase == "watch":
            return self._look_again()
        if trouble in ("busy", "away") and (self._phase != "prepare" or self._tries < MOST_UPLOADS):
            return self._retry(trouble, words)
        if self._phase in ("prepare", "create"):
            kind: Any = "infrastructure" if trouble in ("busy", "away") else "config"
            return self._end(Failure(kind, f"{self._phase_words()}: {words}"))
        return self._retry(trouble, words)

    def _phase_words(self) -> str:
        bucket = self.aws.site.bucket
        return f"upload to s3://{bucket.name}/{bucket.prefix}" if self._phase == "prepare" else "AWS refuses the job"

    def _retry(self, trouble: str, words: str) -> None:
        pause = min(FIRST_PAUSE * 2 ** (self._tries - 1), LONGEST_PAUSE) * self.aws.scale
        if self._tries > 1 or trouble not in ("busy", "away"):
            self.aws.notice(f"AWS does not answer as it should ({words}); jobs there go on, and it is asked again")
        self._wait(pause)

    def _park(self, words: str) -> None:
        """A quota that is not 0 has room again when another job has ended."""
        assert self.record is not None
        kind = self.aws.site.instance_type(self.run)
        quota = _QUOTA.search(words)
        if quota and int(quota[1]) < self.aws.site.hosts:
            remedy = "ask for a higher quota (Service Quotas, Amazon SageMaker), or take another instance_type"
            many = f"{quota[1]} of {kind} at a time, and each run needs {self.aws.site.hosts}"
            return self._end(Failure("config", f"this account may use {many}: {remedy}. AWS: {words}"))
        lower = self._slots.refuse(self.record.name)
        if lower is not None:
            first = words.partition(". ")[0]
            self.aws.notice(f"AWS has no more room for {kind} in your quota: {lower} at a time from here on ({first})")
        return self._wait(1.0)

    def _look_again(self) -> None:
        """An adopted job that is not there was never created; one that we created may take a moment to be seen."""
        if self._adopted and self._asked:
            return self._end(Failure("stopped", "stopped before it was started"))
        if self._adopted:
            self._adopted = False
            return self._next("create", RENEW_SECONDS * self.aws.scale)
        if self._tries < UNSEEN_LOOKS:
            return self._wait(self.aws.interval)
        return self._end(Failure("infrastructure", "SageMaker does not know the training job any more"))

    def _check_owner(self) -> None:
        assert self.record is not None
        found = self.aws.clients("sagemaker").list_tags(ResourceArn=self.said["TrainingJobArn"])["Tags"]
        if {"Key": OWNER_TAG, "Value": self.record.owner} in found:
            self._adopted = False
            self._slots.found(self.record.name)
            return
        self._end(Failure("error", f"a training job {self.record.name} exists, and is somebody else's"))

    def _tell_of_interruptions(self) -> None:
        assert self.record is not None
        count = aws_outcome.interruptions(self.said)
        if count > self._interruptions:
            self.aws.notice(f"AWS took back the instance of {self.record.name}: it goes on from its checkpoint")
        self._interruptions = count

    def _make_mirror(self) -> Mirror:
        assert self.record is not None
        key = f"{self.record.checkpoints}/{self.rundir.events_path.name}"
        return Mirror(self.aws.clients, self.record.bucket, key, self.rundir)
