"""What is kept of a training job in its attempt's directory: the request, before it is sent, and that it is over.

A record without its end is of a job that may live: whoever finds it looks for the job by its name, and, where there is
none, sends the same request again.  So a lost answer, or the death of this program, starts nothing twice.

Of a job that several runs share each run has a record.  They count once all of them are written, which one more file
says, beside the directories of the runs: without it the job has not been asked for, and its runs are free.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmark.durable import write_json
from benchmark.rundir import BrokenFile, RunDir

FILE, END = "training_job.json", "training_job.ended"
PACKS = "packs"
"""Beside the directories of the runs: a file for each job that several of them share, as long as one may live."""


@dataclass(frozen=True)
class Record:
    """``request`` is that of ``CreateTrainingJob``; ``checkpoints`` the key in ``bucket`` below which SageMaker keeps
    the run's checkpoints; ``members`` the runs that share the job, with the number of the attempt at each."""

    request: Mapping[str, Any]
    owner: str
    bucket: str
    checkpoints: str
    region: str
    profile: str | None = None
    members: list[list[Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.request["TrainingJobName"])

    @property
    def shared_checkpoints(self) -> str:
        """Of a job that several runs share: where all of them have theirs, each in a directory of its id."""
        return self.checkpoints.rpartition("/")[0]

    def write(self, attempt: Path) -> None:
        write_json(attempt / FILE, asdict(self))
        (attempt / END).unlink(missing_ok=True)  # of an attempt of this number before the journal was moved away

    @classmethod
    def read(cls, attempt: Path) -> Self | None:
        """The record in an attempt's directory, if there is one.

        Raises:
            BrokenFile: it cannot be read.
        """
        path = attempt / FILE
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise BrokenFile(f"{path}: not the record of a training job: {error}") from error


def close(attempt: Path) -> None:
    """The job is over, and everything of it is here."""
    (attempt / END).touch()


def is_open(rundir: RunDir) -> bool:
    """Whether a training job of the run's latest attempt may live, as far as this machine knows."""
    place = rundir.path / "attempts" / str(rundir.last_attempt)
    return (place / FILE).exists() and not (place / END).exists()


def commit(rundir: RunDir, record: Record) -> None:
    """Every run that shares the job has its record: from now on it may live."""
    _write(rundir, record, stopped=False)


def is_committed(rundir: RunDir, record: Record) -> bool:
    """Whether the job of a record may have been asked for."""
    return not record.members or _pack(rundir, record).exists()


def mark_stopped(rundir: RunDir, record: Record) -> None:
    """Because of one of its runs the job is about to be stopped: the others have not failed."""
    _write(rundir, record, stopped=True)


def is_stopped(rundir: RunDir, record: Record) -> bool:
    """Whether we have stopped the job, in whatever process."""
    with suppress(OSError, ValueError):
        return bool(json.loads(_pack(rundir, record).read_text(encoding="utf-8"))["stopped"])
    return False


def forget(rundir: RunDir, record: Record) -> None:
    """No run of the job is open any more."""
    _pack(rundir, record).unlink(missing_ok=True)


def _write(rundir: RunDir, record: Record, *, stopped: bool) -> None:
    write_json(_pack(rundir, record), {"members": record.members, "stopped": stopped})


def _pack(rundir: RunDir, record: Record) -> Path:
    return rundir.path.parent.parent / PACKS / f"{record.name}.json"
