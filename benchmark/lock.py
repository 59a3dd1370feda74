"""The lock of an experiment: one sweep at a time works in a directory of results."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark import plainfile

PATIENCE_SECONDS = 0.3
"""For somebody who only looks who holds the experiment."""
NO_LOCKS = "choose a local disk (--results), or mount with locks (Lustre: -o flock; NFS: without nolock)"
_HOLDER = re.compile(r"process (\d+) on (\S+) since (.+)")


class Busy(Exception):
    """Another sweep holds this experiment; the message says which."""


@dataclass(frozen=True)
class Holder:
    """The process that holds an experiment."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


def holder(directory: Path) -> Holder | None:
    """Who holds the experiment in ``directory``; ``None`` where nobody does, or nobody who has said so yet."""
    try:
        handle = os.open(directory / "lock", os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        found = _HOLDER.fullmatch(os.pread(handle, 200, 0).decode(errors="replace").strip())
        return Holder(int(found[1]), found[2], found[3]) if found else None
    finally:
        os.close(handle)
    return None


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Holds the experiment in ``directory``.

    Raises:
        Busy: another process holds it.
        OSError: the file system has no locks.
    """
    directory.mkdir(parents=True, exist_ok=True)
    handle = plainfile.opened(directory / "lock", os.O_RDWR)
    try:
        try:
            _lock(handle)
        except BlockingIOError:
            other = os.pread(handle, 200, 0).decode(errors="replace").strip()
            raise Busy(f"{directory} is in use by {other or 'another process'}; wait for it, or stop it") from None
        except OSError as error:
            raise OSError(f"{directory / 'lock'} cannot be locked ({error.strerror}): {NO_LOCKS}") from error
        os.ftruncate(handle, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.pwrite(handle, f"{Holder(os.getpid(), socket.gethostname(), since)}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PATIENCE_SECONDS / 10)
