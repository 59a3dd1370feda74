"""Why a job failed, as a value: the kind that decides whether it is tried again, and words for whoever reads it."""

from __future__ import annotations

import errno
import shutil
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from benchmark.data.datacache import DataError
from benchmark.durable import FULL
from benchmark.records import NO_SPACE, Failure, FailureKind
from benchmark.training import clock
from benchmark.training.diverged import Diverged
from benchmark.training.models import ModelError
from benchmark.training.optim import OptimError
from benchmark.training.predicted import NotANumber
from benchmark.training.statedict import WeightsError

TRACEBACK_LINES = 30
NO_MEMORY = ("can't allocate memory", "bad_alloc", "could not create a primitive")
"""What torch's allocator, the C++ library and oneDNN (for its scratch pad) say."""


class DataMismatch(Exception):
    """The decoded images are not those that the run was planned with."""


class DeviceMissing(ValueError):
    """The device that the run names is not on this machine."""


class TeamError(ValueError):
    """The processes that are to train together do not fit the run, the hosts or the devices."""


class PeerLost(RuntimeError):
    """Another of the processes that train together has gone, and did not say why."""


class Paused(Exception):
    """The run has got as far as it was asked to go; a checkpoint has been saved, and another job goes on."""


class Stopped(BaseException):
    """The job was asked to stop by SIGTERM; not an error of the run."""


KINDS: tuple[tuple[tuple[type[BaseException], ...], FailureKind], ...] = (
    ((Diverged, NotANumber), "diverged"),
    ((DataMismatch, DataError), "data"),
    ((ModelError, OptimError, DeviceMissing, TeamError, WeightsError), "config"),
    ((PeerLost,), "killed"),
    ((Stopped,), "stopped"),
)
SECONDARY: tuple[FailureKind, ...] = ("killed", "stopped")
"""Of the processes that train together: what the failure of another brings about."""


def describe_failure(error: BaseException, directories: Sequence[Path] = ()) -> Failure:
    """The failure: its kind, its message, and the end of its traceback.

    Args:
        directories: where the job writes; of a full disk the message names the one with the least room.
    """
    lines = "".join(traceback.format_exception(error)).splitlines()[-TRACEBACK_LINES:]
    step = error.step if isinstance(error, Diverged) else None
    full = next((each for each in _chain(error) if isinstance(each, OSError) and each.errno in FULL), None)
    kind: FailureKind = "infrastructure" if full else _kind(error)
    message = _where(full, directories) if full else str(error) or type(error).__name__
    return Failure(kind, message[:2000], "\n".join(lines), step, clock.now())


def is_out_of_memory(error: BaseException) -> bool:
    """Of the host or of a GPU; torch has no exception of its own for memory that the host did not give."""
    if isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY):
        return True
    return isinstance(error, MemoryError | torch.OutOfMemoryError)


def _kind(error: BaseException) -> FailureKind:
    if is_out_of_memory(error):
        return "oom"
    return next((kind for types, kind in KINDS if isinstance(error, types)), "error")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came of: a library that cleans up after a failed write may fail again in its own way."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _where(error: OSError, directories: Sequence[Path]) -> str:
    """Names the directory that is full; an error of writing does not tell it."""
    problem = f"{NO_SPACE} {'in the disk quota' if error.errno == errno.EDQUOT else 'on the disk'}"
    known = [Path(error.filename).parent] if isinstance(error.filename, str) else [*directories]
    place = f": {min(known, key=_room)}" if known else ""
    return f"{problem}{place}; make room and run again: training goes on after its last checkpoint"


def _room(directory: Path) -> int:
    while not directory.exists():
        directory = directory.parent
    return shutil.disk_usage(directory).free
