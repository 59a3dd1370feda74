"""Room on disk: looked at before a sweep and before each run, so that a full disk stops work and spoils none."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmark.durable import FULL
from benchmark.records import NO_SPACE, Failure

RESERVE = 64 * 2**20
"""Bytes that must stay free beside what a run needs: journal, MLflow's store, reports."""


class NoRoom(OSError):
    """A directory cannot be written, or its disk is full; the message says what to do."""


def check(directories: Iterable[Path]) -> None:
    """Writes a file into each directory, which is made if missing, and takes it away again.

    Raises:
        NoRoom: one cannot be written.
    """
    for directory in directories:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory) as file:
                file.write(b"\0" * 4096)
                os.fsync(file.fileno())
        except OSError as error:
            remedy = "free some space" if error.errno in FULL else "make it writable, or choose another"
            raise NoRoom(f"{directory} cannot be written ({error.strerror}): {remedy}") from error


def free(directory: Path) -> int:
    """Bytes that are free for us where ``directory`` is."""
    return shutil.disk_usage(directory).free


def shortage(directory: Path, needed: int) -> str | None:
    """What to tell when ``needed`` bytes and the reserve do not fit into ``directory``, or ``None``."""
    there = free(directory)
    if there >= needed + RESERVE:
        return None
    return f"{directory} has {_size(there)} free; {_size(needed + RESERVE)} are needed: free some space and run again"


def is_full(failure: Failure) -> bool:
    """Whether a job failed because its disk is full."""
    return failure.kind == "infrastructure" and NO_SPACE in failure.message


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
