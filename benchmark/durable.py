"""Files that are there whole or not at all, and survive a loss of power.  Ground floor: standard library only."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

FULL = (errno.ENOSPC, errno.EDQUOT)
"""The errors of a full disk, and of a quota that is used up."""


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under ``path`` whole when the block ends, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
            flush(file)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_json(path: Path, document: Any, indent: int | None = 1) -> None:
    """Writes ``document``, and the dataclasses in it, as JSON, atomically; without ``indent`` faster, and in one line.

    Raises:
        ValueError: it holds NaN or an infinity, for which JSON has no word.
    """
    text = json.dumps(document, indent=indent, allow_nan=False, ensure_ascii=False, default=vars)
    with atomic(path) as file:
        file.write(text.encode() + b"\n")


def sync_directory(path: Path) -> None:
    """Makes the names in a directory survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def begin_flush(file: IO[bytes], start: int) -> int:
    """Has the kernel begin to write to disk what was written from the byte ``start`` on, so that :func:`flush` waits
    less for it.  Returns where that ends."""
    end = file.tell()
    if hasattr(os, "posix_fadvise"):
        # Of pages that are not on disk yet, the advice drops none: it begins to write them.
        os.posix_fadvise(file.fileno(), start, end - start, os.POSIX_FADV_DONTNEED)
    return end


def flush(file: IO[bytes]) -> None:
    """Makes what was written to a file survive a loss of power."""
    file.flush()
    os.fsync(file.fileno())
