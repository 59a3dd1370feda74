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

from benchmark.data.datacache import VARIABLE, DataError, locked, writing
from benchmark.data.images import ImageError, decode, parallel
from benchmark.data.telling import counted

_WINDOW = 1024
_TABLE = """
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, changed INTEGER,
    sha256 TEXT, height INTEGER, width INTEGER, channels INTEGER
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class FileFacts:
    """``sha256`` of the file's bytes, hexadecimal; ``height`` and ``width`` as decoded; ``channels`` 1 (grey) or 3."""

    sha256: str
    height: int
    width: int
    channels: int


@dataclass(frozen=True)
class _Stat:
    size: int
    modified: int
    changed: int


@dataclass(frozen=True)
class _Examined:
    path: Path
    stat: _Stat
    facts: FileFacts


@dataclass(frozen=True)
class _Unreadable:
    path: Path
    reason: str


def scan(root: Path, paths: Sequence[Path], cache: Path) -> list[FileFacts]:
    """The facts of each of ``paths``, which lie under ``root``; only new and changed files are read.

    Raises:
        DataError: files that cannot be read or decoded, every one of them named; or the cache cannot be written.
    """
    with _open(cache) as table:
        facts = _known(table, root, paths)
        unreadable = []
        for each in _examine(table, [path for path in paths if path not in facts]):
            if isinstance(each, _Unreadable):
                unreadable.append(each)
            else:
                facts[each.path] = each.facts
    if unreadable:
        lines = "".join(f"\n  {each.path}: {each.reason}" for each in unreadable)
        raise DataError(f"{len(unreadable)} of {len(paths)} images cannot be read; repair or remove them:{lines}")
    return [facts[path] for path in paths]


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


def _known(table: sqlite3.Connection, root: Path, paths: Sequence[Path]) -> dict[Path, FileFacts]:
    prefix = os.fsencode(root).rstrip(b"/")
    # "0" follows "/" in ASCII: the range holds everything below the root.
    rows = table.execute("SELECT * FROM files WHERE path > ? AND path < ?", (prefix + b"/", prefix + b"0"))
    kept = {row[0]: (_Stat(*row[1:4]), FileFacts(*row[4:])) for row in rows}
    known = {}
    for path in paths:
        stat, facts = kept.get(os.fsencode(path), (None, None))
        if facts is not None and _is(path, stat):
            known[path] = facts
    return known


def _is(path: Path, known: _Stat | None) -> bool:
    """Whether a file is as it was; one that has gone is not, and is told of when it is read."""
    try:
        return _stat(path) == known
    except OSError:
        return False


def _examine(table: sqlite3.Connection, paths: Sequence[Path]) -> Iterator[_Examined | _Unreadable]:
    waiting: list[_Examined] = []
    read = parallel(_examine_file, paths, _WINDOW)
    for number, each in enumerate(counted(read, len(paths), "reading images"), start=1):
        if isinstance(each, _Examined):
            waiting.append(each)
        # In batches, so that an interrupted first inspection of a large folder goes on where it was.
        if number % _WINDOW == 0 or number == len(paths):
            _keep(table, waiting)
            waiting = []
        yield each


def _keep(table: sqlite3.Connection, examined: Sequence[_Examined]) -> None:
    rows = [(os.fsencode(each.path), *astuple(each.stat), *astuple(each.facts)) for each in examined]
    with table:
        table.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def _examine_file(path: Path) -> _Examined | _Unreadable:
    try:
        # Before reading, so that a file which changes meanwhile is read again next time.
        stat = _stat(path)
        data = path.read_bytes()
        height, width, channels = decode(data).shape
    except ImageError as error:
        return _Unreadable(path, str(error))
    except OSError as error:
        return _Unreadable(path, error.strerror or str(error))
    return _Examined(path, stat, FileFacts(hashlib.sha256(data).hexdigest(), height, width, channels))


def _stat(path: Path) -> _Stat:
    each = path.stat()
    return _Stat(each.st_size, each.st_mtime_ns, each.st_ctime_ns)
