"""What is known of each image file, kept in the cache by path, size and times, so that an unchanged file is read once.

SQLite and threads.  A file whose size, modification or change time differs from the table's is read again.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Self

from benchmark.data.datacache import VARIABLE, DataError, locked, writing
from benchmark.data.images import parallel
from benchmark.data.telling import counted

WINDOW = 1024
"""So many files are read, or remembered, at a time."""
_TABLE = """
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, changed INTEGER,
    sha256 TEXT, height INTEGER, width INTEGER, channels INTEGER
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class FileFacts:
    """``sha256`` of the file's bytes, hexadecimal (where they cannot be read: of its path); ``height`` and ``width`` as
    decoded; ``channels`` 1 (grey) or 3, or 0 where the file was not decoded yet."""

    sha256: str
    height: int = 0
    width: int = 0
    channels: int = 0


@dataclass(frozen=True)
class Stat:
    """What changes when a file does; times in nanoseconds."""

    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> Self:
        each = path.stat()
        return cls(each.st_size, each.st_mtime_ns, each.st_ctime_ns)


@dataclass(frozen=True)
class Examined:
    """A file that was decoded; ``stat`` is from before, so that one which changes meanwhile is read again."""

    path: Path
    stat: Stat
    facts: FileFacts


def scan(root: Path, paths: Sequence[Path], cache: Path) -> list[FileFacts]:
    """The facts of each of ``paths``, which lie under ``root``; of new and changed files only the digests.

    Raises:
        DataError: the cache cannot be written.
    """
    with _open(cache) as table:
        known = _known(table, root, paths)
    new = [path for path, facts in zip(paths, known, strict=True) if facts is None]
    digests = iter([*counted(parallel(_digest, new, WINDOW), len(new), "reading images")])
    return [next(digests) if facts is None else facts for facts in known]


def keep(cache: Path, examined: Sequence[Examined]) -> None:
    """Remembers them.

    Raises:
        DataError: the cache cannot be written.
    """
    rows = [(os.fsencode(each.path), *astuple(each.stat), *astuple(each.facts)) for each in examined]
    with _open(cache) as table, table:
        table.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


@contextmanager
def _open(cache: Path) -> Iterator[sqlite3.Connection]:
    path = cache / "files.db"
    with writing(cache):
        cache.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(path, timeout=60)) as table:
            # SQLite does not wait when two connections change the journal's mode at once.
            with locked(cache, path.name):
                table.execute("PRAGMA journal_mode = WAL")
                table.execute(_TABLE)
            yield table
    except sqlite3.OperationalError as error:
        raise DataError(f"{path}: cannot be written: {error}; free some space there, or set {VARIABLE}") from error
    except sqlite3.DatabaseError as error:
        raise DataError(f"{path}: broken: {error}; delete it, it is only a cache") from error


def _known(table: sqlite3.Connection, root: Path, paths: Sequence[Path]) -> list[FileFacts | None]:
    """Of each path what is known, if it is as it was then."""
    prefix = os.fsencode(root).rstrip(b"/")
    # "0" follows "/" in ASCII: the range holds everything below the root.
    rows = table.execute("SELECT * FROM files WHERE path > ? AND path < ?", (prefix + b"/", prefix + b"0"))
    kept = {row[0]: row[1:] for row in rows}
    found = ((path, kept.get(os.fsencode(path))) for path in paths)
    return [FileFacts(*row[3:]) if row and _is(path, row[:3]) else None for path, row in found]


def _is(path: Path, known: tuple[int, ...]) -> bool:
    """Whether a file is as it was; one that has gone is not, and is told of when it is decoded."""
    try:
        each = os.stat(path)  # noqa: PTH116 - a Path's takes longer, and there may be a million
    except OSError:
        return False
    return (each.st_size, each.st_mtime_ns, each.st_ctime_ns) == known


def _digest(path: Path) -> FileFacts:
    try:
        return FileFacts(hashlib.sha256(path.read_bytes()).hexdigest())
    except OSError:  # told of when it is decoded, with all others; until then it is like no other file
        return FileFacts(hashlib.sha256(os.fsencode(path)).hexdigest())
