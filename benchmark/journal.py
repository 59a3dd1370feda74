"""The journal of one experiment: what was intended, attempted, found and published, in SQLite.

Run directories are the truth; the journal says which of them count, indexes their results so that a report needs one
query, and holds the UUID of each run's MLflow run before that run is created.  One process writes it (the sweep, under
the experiment's lock); others may read it at any time, with :meth:`Journal.read`, which changes nothing and works in a
directory that cannot be written.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmark import journal_file
from benchmark.journal_file import JournalError, transaction, understood
from benchmark.records import Failure, Result, check_numbers
from benchmark.run import Run
from benchmark.rundir import RunDir

__all__ = ["Journal", "JournalError", "Outcome", "Publication", "is_unbilled"]


@dataclass(frozen=True)
class Outcome:
    """What came of a run: a result with its profile, or a failure; ``profile`` has ``cost/…`` values of both."""

    status: Literal["done", "failed"]
    result: Result | None
    failure: Failure | None
    profile: Mapping[str, float | None]
    attempts: int

    @property
    def pruned(self) -> bool:
        """Whether a search stopped the run."""
        return self.failure is not None and self.failure.kind == "pruned"

    @property
    def measured(self) -> bool:
        """Whether the speed of the model is known."""
        return any(name.startswith("speed/") for name in self.profile)


@dataclass(frozen=True)
class Publication:
    """What is known of a run's MLflow run."""

    uuid: str
    mlflow_run_id: str | None
    committed: bool


class Journal:
    """The journal in ``directory``, made if missing.

    Raises:
        JournalError: the file is no journal of this version.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._path = directory / "journal.db"
        self._db = journal_file.to_write(self._path)

    @classmethod
    @contextmanager
    def read(cls, directory: Path) -> Iterator[Journal]:
        """The journal, to look at only, for as long as the block lasts.

        Where the directory cannot be written, SQLite cannot share what a writer has not yet put into the file
        (``journal.db-wal``): a copy is read.

        Raises:
            JournalError: there is no journal of this version, or what stands in it is not what this program writes.
        """
        journal = cls.__new__(cls)
        journal.directory, journal._path = directory, directory / "journal.db"
        with journal_file.to_read(journal._path) as journal._db:
            yield journal

    def close(self) -> None:
        self._db.close()

    def rundir(self, run: Run) -> RunDir:
        """Where the files of ``run`` are."""
        return RunDir(self.directory / "runs" / run.run_id)

    def plan(self, runs: Iterable[Run]) -> None:
        """Makes ``runs`` the current plan, in this order; a new one gets its UUID, one that left keeps its results."""
        with transaction(self._db):
            self._db.execute("UPDATE runs SET position = NULL")
            self._db.executemany(
                "INSERT INTO runs (run_id, configuration_id, document, uuid, position) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (run_id) DO UPDATE SET position = excluded.position, document = excluded.document",
                [
                    (run.run_id, run.configuration_id, json.dumps(run.to_json()), uuid.uuid4().hex, position)
                    for position, run in enumerate(runs)
                ],
            )

    def planned(self) -> tuple[Run, ...]:
        """The runs of the current plan, in order."""
        rows = self._db.execute("SELECT document FROM runs WHERE position IS NOT NULL ORDER BY position")
        with understood(self._path):
            return tuple(Run.from_json(json.loads(row["document"])) for row in rows)

    def begin(self, run: Run) -> int:
        """Writes down the intent to start an attempt, before it starts: its number, from 1."""
        with transaction(self._db):
            self._db.execute("UPDATE attempts SET ended = ? WHERE run_id = ? AND ended IS NULL", (_now(), run.run_id))
            number = self.attempts(run) + 1
            self._db.execute("DELETE FROM outcomes WHERE run_id = ?", (run.run_id,))
            self._db.execute(
                "INSERT INTO attempts (run_id, number, started) VALUES (?, ?, ?)", (run.run_id, number, _now())
            )
        return number

    def end(self, run: Run, number: int, failure: Failure | None) -> None:
        """An attempt ended: with a failure, or with a result or an interruption (``None``)."""
        document = None if failure is None else json.dumps(dataclasses.asdict(failure))
        self._db.execute(
            "UPDATE attempts SET ended = ?, failure = ? WHERE run_id = ? AND number = ?",
            (_now(), document, run.run_id, number),
        )

    def started(self, run: Run) -> float:
        """When the first attempt began, Unix seconds; 0 where none did."""
        query = "SELECT COALESCE(MIN(started), 0) FROM attempts WHERE run_id = ?"
        return float(self._db.execute(query, (run.run_id,)).fetchone()[0])

    def open_attempt(self, run: Run) -> int | None:
        """The number of an attempt that was begun and not ended: its process, or ours, died."""
        query = "SELECT MAX(number) FROM attempts WHERE run_id = ? AND ended IS NULL"
        found = self._db.execute(query, (run.run_id,)).fetchone()[0]
        return None if found is None else int(found)

    def open_attempts(self) -> set[str]:
        """The ids of the runs with an attempt that was begun and not ended: of all others nothing is under way."""
        return {row["run_id"] for row in self._db.execute("SELECT run_id FROM attempts WHERE ended IS NULL")}

    def attempts(self, run: Run) -> int:
        """How many attempts were begun."""
        query = "SELECT COALESCE(MAX(number), 0) FROM attempts WHERE run_id = ?"
        return int(self._db.execute(query, (run.run_id,)).fetchone()[0])

    def record(self, run: Run, outcome: Result | Failure, profile: Mapping[str, float | None]) -> None:
        """Enters a run's result, or its final failure, in the index; MLflow has it to be told."""
        status = "done" if isinstance(outcome, Result) else "failed"
        values = (run.run_id, status, json.dumps(dataclasses.asdict(outcome)), json.dumps(dict(profile)), _now())
        with transaction(self._db):
            self._db.execute("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?)", values)
            self._db.execute("UPDATE runs SET published = NULL WHERE run_id = ?", (run.run_id,))

    def record_profile(self, run: Run, profile: Mapping[str, float | None]) -> None:
        """Enters the speed of a run that has an outcome, beside what it cost; MLflow has it to be told."""
        with transaction(self._db):
            values = json.dumps({**self.costs(run), **profile})
            self._db.execute("UPDATE outcomes SET profile = ? WHERE run_id = ?", (values, run.run_id))
            self._db.execute("UPDATE runs SET published = NULL WHERE run_id = ?", (run.run_id,))

    def record_costs(self, run: Run, costs: Mapping[str, float | None]) -> None:
        """Enters what a run that has an outcome has cost, once that is known; MLflow has it to be told."""
        with transaction(self._db):
            found = self._db.execute("SELECT profile FROM outcomes WHERE run_id = ?", (run.run_id,)).fetchone()
            values = json.dumps({**(json.loads(found["profile"]) if found else {}), **costs})
            self._db.execute("UPDATE outcomes SET profile = ? WHERE run_id = ?", (values, run.run_id))
            self._db.execute("UPDATE runs SET published = NULL WHERE run_id = ?", (run.run_id,))

    def costs(self, run: Run) -> dict[str, float | None]:
        """The ``cost/…`` values that were recorded beside the outcome; empty where there is none."""
        found = self._db.execute("SELECT profile FROM outcomes WHERE run_id = ?", (run.run_id,)).fetchone()
        profile = json.loads(found["profile"]) if found else {}
        return {name: value for name, value in profile.items() if name.startswith("cost/")}

    def outcomes(self) -> dict[str, Outcome]:
        """Run id -> outcome, of every run that ever had one; one query."""
        rows = self._db.execute(
            "SELECT o.*, (SELECT COUNT(*) FROM attempts a WHERE a.run_id = o.run_id) AS attempts FROM outcomes o"
        )
        with understood(self._path):
            return {row["run_id"]: _outcome(row) for row in rows}

    def begun(self) -> list[dict[str, Any]]:
        """The documents (:meth:`Run.to_json`) of all runs that were ever begun, of the latest first."""
        rows = self._db.execute(
            "SELECT r.document FROM runs r JOIN attempts a USING (run_id) GROUP BY run_id ORDER BY MAX(a.started) DESC"
        )
        with understood(self._path):
            return [_mapping(row["document"]) for row in rows]

    def documents(self) -> dict[str, dict[str, Any]]:
        """Run id -> document (:meth:`Run.to_json`) of every run that was ever planned."""
        rows = self._db.execute("SELECT run_id, document FROM runs ORDER BY position IS NULL, position, run_id")
        with understood(self._path):
            return {row["run_id"]: _mapping(row["document"]) for row in rows}

    def forget(self, run_ids: Iterable[str]) -> None:
        """Knows nothing of these runs any more."""
        ids = [(run_id,) for run_id in run_ids]
        with transaction(self._db):
            self._db.executemany("DELETE FROM outcomes WHERE run_id = ?", ids)
            self._db.executemany("DELETE FROM attempts WHERE run_id = ?", ids)
            self._db.executemany("DELETE FROM runs WHERE run_id = ?", ids)

    def publications(self) -> dict[str, Publication]:
        """Run id -> what MLflow has of it."""
        rows = self._db.execute("SELECT run_id, uuid, mlflow_run_id, published FROM runs")
        return {r["run_id"]: Publication(r["uuid"], r["mlflow_run_id"], r["published"] is not None) for r in rows}

    def published(self, run_id: str, mlflow_run_id: str, commit: str | None) -> None:
        """MLflow has the run, and, with ``commit``, all of it."""
        self._db.execute(
            "UPDATE runs SET mlflow_run_id = ?, published = ? WHERE run_id = ?", (mlflow_run_id, commit, run_id)
        )

    def note(self, name: str, default: str) -> str:
        """A remembered value of the experiment; ``default`` is stored where there is none yet."""
        self._db.execute("INSERT OR IGNORE INTO notes VALUES (?, ?)", (name, default))
        return str(self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()[0])

    def remember(self, name: str, value: str) -> None:
        """Sets a remembered value."""
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))


def is_unbilled(outcome: Outcome | None) -> bool:
    """Whether a run has cost something, and nobody knew how much when its outcome was recorded."""
    return outcome is not None and outcome.profile.get("cost/billed_seconds", 0.0) is None


def _mapping(text: str) -> dict[str, Any]:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document


def _outcome(row: sqlite3.Row) -> Outcome:
    document, profile = _mapping(row["document"]), _mapping(row["profile"])
    check_numbers("profile", profile)
    if row["status"] == "done":
        result = Result(**document)
        result.check()
        result = dataclasses.replace(result, notes=tuple(result.notes))
        return Outcome("done", result, None, profile, row["attempts"])
    failure = Failure(**document)
    failure.check()
    return Outcome("failed", None, failure, profile, row["attempts"])


def _now() -> float:
    return time.time()
