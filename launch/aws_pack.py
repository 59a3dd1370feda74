"""One training job that several runs share, so that its start-up is paid once for all of them.

It is created, watched and recovered as any job (:mod:`launch.aws_job`), under the name of its first run; and its runs
end one by one, each with what it has left, while the job goes on.  The last one ends with the job, when the bill is
known and divided: so one run of a job is open as long as anything of it is to be done, and whoever comes after us goes
on.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.bill import divided, write_bill
from benchmark.failpoints import reach
from benchmark.records import Failure
from benchmark.rundir import BrokenFile, RunDir
from launch import aws_outcome, aws_record, aws_results
from launch.aws_job import CAPACITY_SECONDS, TrainingJob
from launch.aws_member import Member, seconds
from launch.aws_results import SECONDS
from launch.training_job import Owner

LOOK_SECONDS = 1.0
"""Between looks whether a job may begin."""
NEIGHBOUR = "the training job that it shared has ended: {}"


@dataclass
class Pack(TrainingJob):
    """``run``, ``rundir`` and ``attempt`` are those of the run that it is named after."""

    members: list[Member] = field(default_factory=list)
    _turn: float | None = None
    """Since when there is room for the job."""
    _seconds: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.record is None:
            self._phase = "gather"

    @property
    def owner(self) -> Owner:
        return Owner(*self.rundir.read_owner())

    @property
    def name(self) -> str:
        return self.record.name if self.record else self.owner.pack_name(self.run, self.attempt)

    def hurry(self) -> None:
        """A run is to stop."""
        self._due = 0.0

    def add(self, member: Member) -> None:
        """Runs join in the order in which the job will have them; those of a job that there is may come in any."""
        self.members.append(member)
        if self.record is not None:
            turns = [run_id for run_id, _ in self.record.members]
            self.members.sort(key=lambda each: turns.index(each.run.run_id))

    @property
    def open(self) -> list[Member]:
        return [each for each in self.members if each.is_open]

    def _do(self) -> None:
        if self._phase in ("gather", "prepare"):
            for each in self.open:
                if each.asked:
                    each.end(Failure("stopped", "stopped before it was started"))
        self._asked = any(each.asked for each in self.open)
        if self._asked and self.record is not None and self._phase == "watch" and not self._told:
            aws_record.mark_stopped(self.rundir, self.record)
        super()._do()

    def _gather(self) -> None:
        """Until it may begin, others join."""
        if not self.open:
            return self._end(None)
        if self._turn is None:
            if not (self.aws.gathering.may_begin(self) and self._slots.take(self.name)):
                return self._wait(LOOK_SECONDS)
            self._turn = time.monotonic()
        if self.aws.gathering.close(self, self._turn):
            return self._next("prepare")
        return self._wait(LOOK_SECONDS / 4)

    def _prepare(self) -> None:
        if not self.open:
            return self._end(None)
        self.members = self.open
        self.record = self.aws.prepared_pack(self)
        reach("aws.uploaded")
        return self._next("create")

    def _write_down(self) -> None:
        assert self.record is not None
        for each in self.members:
            assert each.record is not None
            (each.directory / SECONDS).unlink(missing_ok=True)  # of an attempt before the journal was moved away
            each.record.write(each.directory)
            reach("pack.recording")
        aws_record.commit(self.rundir, self.record)

    def _begin_bill(self) -> None:
        assert self.record is not None
        for each in self.members:
            each.pay(aws_outcome.bill(self.record.request))

    def _tail(self) -> None:
        """At the run whose turn it is; of those that have ended the last one is kept until the job has."""
        for each in self.open:
            each.look(self.aws.clients)
            if not self._fetch(each) or len(self.open) == 1:
                return
            self._release(each)

    def _fetch(self, member: Member) -> bool:
        try:
            return member.fetch(self.aws.clients)
        except BrokenFile as error:
            member.rundir.write_failure(Failure("error", str(error), time=time.time()))
            return True

    def _release(self, member: Member) -> None:
        """A run that has ended, while the job goes on: what it will cost can only be guessed."""
        assert self.record is not None
        own = seconds(self.aws.clients, self.record, member.run.run_id, member.directory) or 0.0
        startup = self.aws.site.settings.startup_seconds / len(self.record.members)
        member.pay(aws_outcome.bill(self.record.request).foreseen(own + startup))
        self._end_member(member)

    def _end_member(self, member: Member) -> None:
        try:
            if member.rundir.read_result() is None:
                own = member.own_failure()
                return member.end(own and aws_outcome.translated(own))
        except BrokenFile as error:
            return member.end(Failure("error", str(error)))
        reach("aws.finished")
        assert member.record is not None
        aws_results.remove_checkpoints(self.aws.clients, member.record.bucket, member.record.checkpoints)
        return member.end(None)

    def _collect(self) -> None:
        """Of an ended job: everything of its runs, then the bill of each, and last who has ended and how."""
        assert self.record is not None
        reach("aws.ended")
        ended = [each for each in self.open if self._has_ended(each)]
        self._share_bill()
        self._slots.give(self.record.name)
        self.aws.roll.forget(self.record.name)
        reach("pack.billed")
        for each in ended:
            self._end_member(each)
        if self.open and aws_outcome.lacked_capacity(self.said):
            known = aws_outcome.failure(self.said, asked=False)
            return self._end(known, again=CAPACITY_SECONDS * self.aws.scale)
        if self.open:
            self._fetch_log()
            return self._end(aws_outcome.failure(self.said, asked=self._asked))
        return self._end(None)

    def _has_ended(self, member: Member) -> bool:
        """Whether the run has: what it left is among its checkpoints, and, should it have come there too late, in the
        outputs of the job."""
        clients = self.aws.clients
        member.look(clients)
        if self._fetch(member):
            return True
        if self.said["TrainingJobStatus"] != "Completed":
            return False
        return aws_results.take(
            clients, aws_results.archives(self.said), member.rundir, member.directory, below=member.run.run_id
        )

    def _share_bill(self) -> None:
        """Among all its runs, whoever has ended them: each pays for its own seconds and an equal part of the rest."""
        assert self.record is not None
        places = {str(run_id): self._place(run_id, number) for run_id, number in self.record.members}
        found = {each: seconds(self.aws.clients, self.record, each, place) for each, place in places.items()}
        self._seconds = found
        shares = divided(aws_outcome.bill(self.said), [each or 0.0 for each in found.values()])
        for place, share in zip(places.values(), shares, strict=True):
            write_bill(place, share)

    def _place(self, run_id: str, number: int) -> Path:
        return RunDir(self.rundir.path.parent / run_id).attempt(number)

    def _fetch_log(self) -> None:
        """For those that leave nothing themselves: all that the job has printed."""
        assert self.record is not None
        first, *others = [each.directory / "log.txt" for each in self.open]
        aws_results.write_log(self.aws.clients, self.record.name, first)
        for each in others:
            shutil.copyfile(first, each)

    def _end(self, failure: Failure | None, *, again: float | None = None) -> None:
        """The job is over, or there was none.  Whose fault that is pays for it with a try: the run that was under way,
        or, where none had begun, each of them; the others go on in another job."""
        self.aws.gathering.leave(self)
        with contextlib.suppress(BrokenFile):  # without a name it has taken nothing
            self._slots.give(self.name)
            self.aws.roll.forget(self.name)
        for each in self.open:
            assert failure is not None
            if each.asked:
                each.end(Failure("stopped", f"stopped before its end: {failure.message}"))
            elif again is not None or self._is_innocent(failure, each):
                neighbour = Failure("infrastructure", NEIGHBOUR.format(failure.message))
                each.end(failure if again is not None else neighbour, again or 0.0)
            else:
                each.end(failure)
        if self.record is not None and not self._has_strangers():
            aws_record.forget(self.rundir, self.record)
        self._phase = "ended"

    def _is_innocent(self, failure: Failure, member: Member) -> bool:
        """Of a job's own time limit all are, once a run has ended in it: each minds its own."""
        if failure.kind == "stopped":
            return self.record is not None and aws_record.is_stopped(self.rundir, self.record)
        begun = [run_id for run_id, seconds in self._seconds.items() if seconds is not None]
        if self.said.get("TrainingJobStatus") == "Completed" or not begun:
            return False
        return member.run.run_id != begun[-1] or (failure.kind == "timeout" and len(begun) > 1)

    def _has_strangers(self) -> bool:
        """Whether a run of the job is open of which we have no handle: it has left the plan, or was not asked for."""
        assert self.record is not None
        others = (RunDir(self.rundir.path.parent / str(run_id)) for run_id, _ in self.record.members)
        return any(each.path.exists() and aws_record.is_open(each) for each in others)
