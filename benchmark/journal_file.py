"""The journal as a file: its tables, how it is opened to be written or looked at, what is said of a damaged one."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    configuration_id TEXT NOT NULL,
    document TEXT NOT NULL,
    uuid TEXT NOT NULL,
    position INTEGER,          -- order in the current plan; NULL: no longer in the YAML
    mlflow_run_id TEXT,
    published TEXT             -- digest of what MLflow has committed; NULL: not yet
);
CREATE TABLE attempts (
    run_id TEXT NOT NULL REFERENCES runs,
    number INTEGER NOT NULL,
    started REAL NOT NULL,
    ended REAL,
    failure TEXT,              -- JSON; NULL with `ended`: it succeeded or was interrupted
    PRIMARY KEY (run_id, number)
);
CREATE TABLE outcomes (        -- the result index
    run_id TEXT PRIMARY KEY REFERENCES runs,
    status TEXT NOT NULL CHECK (status IN ('done', 'failed')),
    document TEXT NOT NULL,    -- JSON of the Result or the Failure
    profile TEXT NOT NULL,
    recorded REAL NOT NULL
);
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class JournalError(Exception):
    """The journal cannot be opened, or is of another version."""


def to_write(path: Path) -> sqlite3.Connection:
    """The file, made if missing.

    Raises:
        JournalError: it is no journal of this version.
    """
    try:
        database = _connected(str(path))
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        _make(database, path)
    except sqlite3.DatabaseError as error:
        raise JournalError(_told(path, error)) from error
    return database


@contextmanager
def to_read(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, or a copy, for as long as the block lasts, in which what is found damaged is told.

    Raises:
        JournalError: there is no journal of this version, or what stands in it is not what this program writes.
    """
    with ExitStack() as stack:
        try:
            place = path if os.access(path.parent, os.W_OK) else _copied(path, stack)
        except OSError as error:
            raise JournalError(_told(path, error)) from error
        try:
            database = _connected(f"{place.absolute().as_uri()}?mode=ro")
            stack.callback(database.close)
            # In this order: who makes it meanwhile may come between the two.
            tables = database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not tables:
                database = _connected(":memory:")  # a sweep is about to begin
                stack.callback(database.close)
                _make(database, path)
            else:
                _check_version(version, path)
            yield database
        except sqlite3.DatabaseError as error:
            raise JournalError(_told(path, error)) from error


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All that is executed in the block, or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Around the decoding of rows, which somebody may have edited."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise JournalError(
            f"{path}: a row is not what this program writes: {error}; restore the file from a copy, "
            "or move it away to start afresh (the run directories stay)"
        ) from error


def _connected(place: str) -> sqlite3.Connection:
    database = sqlite3.connect(place, isolation_level=None, timeout=30, uri=place.startswith("file:"))
    database.row_factory = sqlite3.Row
    return database


def _make(database: sqlite3.Connection, path: Path) -> None:
    with transaction(database):
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            for statement in SCHEMA.split(";\n"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    if version != 0:
        _check_version(version, path)


def _check_version(version: int, path: Path) -> None:
    if version != SCHEMA_VERSION:
        raise JournalError(
            f"{path}: version {version}; this program reads {SCHEMA_VERSION}; "
            "use the program that wrote it, or move it away to start afresh"
        )


def _told(path: Path, error: Exception) -> str:
    return f"{path}: {error}; restore it from a copy, or move it away to start afresh (the run directories stay)"


def _copied(path: Path, stack: ExitStack) -> Path:
    """A copy of the journal in a private directory that goes with ``stack``."""
    place = Path(stack.enter_context(TemporaryDirectory(prefix="journal-")))
    for name in (path.name, f"{path.name}-wal"):
        if path.with_name(name).exists():
            shutil.copyfile(path.with_name(name), place / name)
    return place / path.name
