"""The run directory: every file that a job reads or writes, its format, and the order of writing.

Ground floor: standard library and numpy only.  Files are written to a temporary name, flushed to disk and renamed, so
that a reader sees a whole file or none.  ``result.json`` is written after all that belongs to the result: its existence
means that the run succeeded.  Only the profile, which is no part of it, may follow.

Layout::

    run.json owner.json the resolved run, whose it is         result.json    final metrics, written last
    predictions.npz     labels and log-probabilities          failure.json   instead of it: kind, message, traceback
    evaluation.json     confusion, per class, ROC, calibration
    profile.json        latency, throughput, memory           model.safetensors   best by validation
    checkpoint/events.jsonl   one line per epoch              attempts/<n>/  log.txt, bill.json, what the launcher keeps
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TypeVar
from zipfile import ZIP_STORED, BadZipFile, is_zipfile

import numpy as np
import numpy.typing as npt

from benchmark.durable import atomic, flush, write_json
from benchmark.plainfile import opened
from benchmark.records import SCHEMA_VERSION, Evaluation, Event, Failure, Predictions, Result, check_numbers
from benchmark.run import Run

REMEDY = "restore it from a copy, or `rm` the run, and `run` makes it again"
OUTPUTS = ("predictions.npz", "evaluation.json", "profile.json", "failure.json", "result.json")
"""What a job writes beside its model and its checkpoints, in this order."""
T = TypeVar("T")
_BROKEN = (OSError, KeyError, ValueError, TypeError, AttributeError, EOFError, MemoryError, BadZipFile, zlib.error)
"""What numpy and zipfile raise for a file that is none of theirs."""


class BrokenFile(Exception):
    """A file of a run directory is unreadable, truncated or of another version; the message names it."""


class RunDir:
    """The files of one run under ``path``.

    A SageMaker job has them in several places, so each group has its own directory; on the user's machine they are
    all ``path``.
    """

    def __init__(self, path: Path, *, checkpoint: Path | None = None, model: Path | None = None) -> None:
        self.path = path
        self.checkpoint = checkpoint or path / "checkpoint"
        self.model = (model or path) / "model.safetensors"

    def __repr__(self) -> str:
        return f"RunDir({str(self.path)!r})"

    @property
    def events_path(self) -> Path:
        return self.checkpoint / "events.jsonl"

    @property
    def lock_path(self) -> Path:
        return self.path / "lock"

    def attempt(self, number: int) -> Path:
        """The directory of attempt ``number`` (from 1), made if missing."""
        path = self.attempt_path(number)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def attempt_path(self, number: int) -> Path:
        """Where that directory is, or would be."""
        return self.path / "attempts" / str(number)

    @property
    def last_attempt(self) -> int:
        """The number of the latest attempt; 0 where there was none."""
        numbers = (int(each.name) for each in (self.path / "attempts").glob("*") if each.name.isdigit())
        return max(numbers, default=0)

    def log_path(self, number: int) -> Path:
        return self.attempt_path(number) / "log.txt"

    def log_tail(self, number: int, lines: int = 20) -> str:
        """The last lines of an attempt's log, or an empty text."""
        try:
            with self.log_path(number).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
                return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def write_run(self, run: Run) -> None:
        write_json(self.path / "run.json", run.to_json())

    def write_owner(self, experiment: str, uuid: str) -> None:
        """Whose run it is: the experiment's name, and the UUID that its journal holds for the run."""
        write_json(self.path / "owner.json", {"experiment": experiment, "uuid": uuid})

    def read_owner(self) -> tuple[str, str]:
        """Experiment and UUID."""
        document = _read_json(self.path / "owner.json")
        return str(document["experiment"]), str(document["uuid"])

    def read_run(self) -> Run:
        path = self.path / "run.json"
        try:
            return Run.from_json(_read_json(path))
        except ValueError as error:
            raise BrokenFile(f"{path}: {error}") from error

    def write_result(self, result: Result) -> None:
        """Written last: a run directory with this file is a run that succeeded."""
        write_json(self.path / "result.json", dataclasses.asdict(result))

    def read_result(self) -> Result | None:
        """The result, or ``None`` where the run has not succeeded."""
        path = self.path / "result.json"
        if not path.exists():
            return None
        document = read_record(path, Result)
        return dataclasses.replace(document, notes=tuple(document.notes))

    def write_failure(self, failure: Failure) -> None:
        write_json(self.path / "failure.json", dataclasses.asdict(failure))

    def read_failure(self) -> Failure | None:
        path = self.path / "failure.json"
        return read_record(path, Failure) if path.exists() else None

    def clear_failure(self) -> None:
        """What an attempt failed of is kept in the journal."""
        (self.path / "failure.json").unlink(missing_ok=True)

    def clear_outcome(self) -> None:
        """Before a new attempt: neither an earlier failure nor an earlier result is taken for its own."""
        self.clear_failure()
        (self.path / "result.json").unlink(missing_ok=True)

    def clear_epochs(self) -> None:
        """Before a run that had ended is run again: its curve and its speed are of another time."""
        shutil.rmtree(self.checkpoint, ignore_errors=True)
        (self.path / "profile.json").unlink(missing_ok=True)

    def clear_checkpoints(self) -> None:
        """When a run has failed for good: a further attempt would begin anew, and they are large."""
        for path in self.checkpoint.glob("*.pt"):
            path.unlink(missing_ok=True)

    def ask_to_stop(self) -> None:
        """For whoever watches over the run."""
        (self.path / "stop").touch()

    def take_request_to_stop(self) -> bool:
        """Whether somebody asked; only the first call knows."""
        try:
            (self.path / "stop").unlink()
        except FileNotFoundError:
            return False
        return True

    def append_event(self, event: Event) -> None:
        """Adds one line and flushes it to disk.  An epoch that is already there keeps its first line, and a line
        torn by a crash is cut off before anything is appended."""
        self.checkpoint.mkdir(parents=True, exist_ok=True)
        known = self.read_events()
        if any(event.epoch == each.epoch for each in known):
            return
        handle = opened(self.events_path, os.O_RDWR | os.O_APPEND)
        with os.fdopen(handle, "ab") as file:
            file.truncate(_whole_lines(self.events_path))
            file.write(json.dumps(dataclasses.asdict(event)).encode() + b"\n")
            flush(file)

    def events_stamp(self) -> tuple[int, int] | None:
        """Changes with the epochs: to look at it costs less than to read them."""
        try:
            found = self.events_path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def read_events(self) -> tuple[Event, ...]:
        """The epochs so far, in order; a torn last line is not there yet.

        Raises:
            BrokenFile: a line before the last is not an event.
        """
        try:
            text = self.events_path.read_bytes()
        except FileNotFoundError:
            return ()
        whole = text[: text.rfind(b"\n") + 1].splitlines()
        try:
            return tuple(Event(**json.loads(line)).check() for line in whole)
        except (ValueError, TypeError, RecursionError) as error:
            raise BrokenFile(
                f"{self.events_path}: not a list of epochs: {error}; move it away, and the run has no curve"
            ) from error

    def write_evaluation(self, evaluation: Mapping[str, Evaluation], classes: tuple[str, ...]) -> None:
        """``evaluation`` maps ``val`` and ``test`` to what their figures are drawn from."""
        document = {"schema_version": SCHEMA_VERSION, "classes": classes, "splits": dict(evaluation)}
        write_json(self.path / "evaluation.json", document, indent=None)

    def read_evaluation(self) -> dict[str, Evaluation]:
        """Split name -> :class:`Evaluation`."""
        path = self.path / "evaluation.json"
        document = _read_json(path)
        try:
            return {name: Evaluation.from_json(each) for name, each in document["splits"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BrokenFile(f"{path}: not an evaluation: {error}") from error

    def write_predictions(self, predictions: Mapping[str, Predictions], classes: tuple[str, ...]) -> None:
        arrays: dict[str, npt.NDArray[Any]] = {"classes": np.array(classes, dtype=np.str_)}
        for split, each in predictions.items():
            arrays[f"{split}_ids"] = each.ids.astype(np.str_)
            arrays[f"{split}_labels"] = each.labels.astype(np.int64)
            arrays[f"{split}_log_probs"] = each.log_probs.astype(np.float32)
        with atomic(self.path / "predictions.npz") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def read_predictions(self, split: str) -> Predictions:
        path = self.path / "predictions.npz"
        try:
            with path.open("rb") as raw, _archive(raw) as file:
                arrays = (file[f"{split}_{name}"] for name in ("ids", "labels", "log_probs"))
                return Predictions(*arrays).check()
        except _BROKEN as error:
            raise BrokenFile(f"{path}: not predictions for {split!r}: {error}") from error

    def read_classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the columns of ``log_probs``."""
        path = self.path / "predictions.npz"
        try:
            with path.open("rb") as raw, _archive(raw) as file:
                return tuple(map(str, file["classes"].tolist()))
        except _BROKEN as error:
            raise BrokenFile(f"{path}: names no classes: {error}") from error

    def write_profile(self, profile: Mapping[str, float | None]) -> None:
        """``speed/…`` names and their values, measured apart from training, now."""
        document = {"schema_version": SCHEMA_VERSION, "time": time.time(), "metrics": dict(profile)}
        write_json(self.path / "profile.json", document)

    def take_profile(self, other: RunDir) -> None:
        """The profile of another run directory, with the time at which it was measured."""
        write_json(self.path / "profile.json", _read_json(other.path / "profile.json"))

    def read_profile(self) -> dict[str, float | None]:
        """The profile's ``speed/…`` values; empty where none was taken."""
        path = self.path / "profile.json"
        if not path.exists():
            return {}
        try:
            metrics = dict(_read_json(path)["metrics"])
            check_numbers("metrics", metrics)
            return metrics
        except (KeyError, TypeError, ValueError) as error:
            raise BrokenFile(f"{path}: not a profile: {error}") from error


def _whole_lines(path: Path) -> int:
    return path.read_bytes().rfind(b"\n") + 1


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenFile(f"{path}: cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise BrokenFile(f"{path}: not a JSON object")
    return document


def read_record(path: Path, kind: type[T]) -> T:
    """The dataclass ``kind`` from a file that :func:`write_json` wrote.

    Raises:
        BrokenFile: it is unreadable, of another version, or something else.
    """
    document = _read_json(path)
    if document.get("schema_version") != SCHEMA_VERSION:
        raise BrokenFile(f"{path}: of version {document.get('schema_version')}; this program reads {SCHEMA_VERSION}")
    try:
        record = kind(**document)
        if isinstance(record, Result | Failure):
            record.check()
        return record
    except (TypeError, ValueError) as error:
        raise BrokenFile(f"{path}: not a {kind.__name__}: {error}; {REMEDY}") from error


def _archive(raw: IO[bytes]) -> Any:
    """An archive as we write them, not compressed: what is compressed may be a thousand times as large.  Anything else
    numpy would take for a pickle, and tell the user how to load it."""
    if not is_zipfile(raw):
        raise ValueError("no archive of arrays, or cut off")
    raw.seek(0)
    file = np.load(raw, allow_pickle=False)
    if not all(each.compress_type == ZIP_STORED for each in file.zip.infolist()):
        raise ValueError("compressed, which this program never writes")
    return file
