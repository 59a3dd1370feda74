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
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeVar, get_args
from zipfile import ZIP_STORED, BadZipFile, is_zipfile

import numpy as np
import numpy.typing as npt

from benchmark.plainfile import opened
from benchmark.run import Run

FailureKind = Literal["diverged", "oom", "data", "config", "error", "timeout", "killed", "stopped", "infrastructure"]
NO_SPACE = "no space left"
"""In the message of a failure that a full disk caused."""
REMEDY = "restore it from a copy, or `rm` the run, and `run` makes it again"
SCHEMA_VERSION = 1
OUTPUTS = ("predictions.npz", "evaluation.json", "profile.json", "failure.json", "result.json")
"""What a job writes beside its model and its checkpoints, in this order."""
T = TypeVar("T")
_LARGEST = 1e300
_BROKEN = (OSError, KeyError, ValueError, TypeError, AttributeError, EOFError, MemoryError, BadZipFile, zlib.error)
"""What numpy and zipfile raise for a file that is none of theirs."""


class BrokenFile(Exception):
    """A file of a run directory is unreadable, truncated or of another version; the message names it."""


@dataclass(frozen=True)
class Event:
    """What an epoch brought.  ``epoch`` counts from 1, ``time`` is Unix seconds, ``metrics`` has ``train/…``, ``val/…``
    and ``cost/…`` names."""

    epoch: int
    step: int
    time: float
    metrics: Mapping[str, float | None]

    def check(self) -> Event:
        """Itself, as it was read from a file, which may have been edited.

        Raises:
            ValueError: a value is of another type.
        """
        _whole("epoch", self.epoch)
        _whole("step", self.step)
        _finite("time", self.time)
        if not isinstance(self.metrics, Mapping):
            raise ValueError("metrics are no mapping")
        for name, each in self.metrics.items():
            if each is not None and not isinstance(each, int | float):
                raise ValueError(f"metrics: {name} is no number")
        return self


@dataclass(frozen=True)
class Result:
    """A finished run.  ``metrics`` maps names to values, ``None`` where undefined, with the reason in ``undefined``.

    ``val/…`` values are those of ``best_epoch``, the epoch whose weights were tested.  ``architecture`` says in words
    which network was trained; ``notes`` what a reader should know (an enlarged input, a dropped batch).
    """

    run_id: str
    metrics: Mapping[str, float | None]
    undefined: Mapping[str, str]
    best_epoch: int
    epochs: int
    started: float
    finished: float
    architecture: str
    environment: Mapping[str, str | int | float]
    notes: tuple[str, ...] = ()
    weights: str = ""
    """SHA-256 of ``model.safetensors``, hexadecimal; empty in results of before it was told."""
    schema_version: int = SCHEMA_VERSION

    def check(self) -> None:
        """As it was read from a file or the journal, which may have been edited.

        Raises:
            ValueError: a value is of another type, or not finite.
        """
        _text("run_id", self.run_id)
        check_numbers("metrics", self.metrics)
        _texts("undefined", self.undefined)
        _whole("best_epoch", self.best_epoch)
        _whole("epochs", self.epochs)
        _finite("started", self.started)
        _finite("finished", self.finished)
        _text("architecture", self.architecture)
        _environment(self.environment)
        if not isinstance(self.notes, tuple | list) or not all(isinstance(each, str) for each in self.notes):
            raise ValueError("notes are not texts")


@dataclass(frozen=True)
class Failure:
    """Why a run has no result.  ``step`` is the last optimizer step, where known."""

    kind: FailureKind
    message: str
    traceback: str = ""
    step: int | None = None
    time: float = 0.0
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.kind not in get_args(FailureKind):
            raise ValueError(f"unknown failure kind {self.kind!r}")

    def check(self) -> None:
        """See :meth:`Result.check`."""
        _text("message", self.message)
        _text("traceback", self.traceback)
        _finite("time", self.time)
        if self.step is not None:
            _whole("step", self.step)


@dataclass(frozen=True)
class ClassMetrics:
    """One class's row of the per-class table; ``None`` where undefined, with the reason in ``undefined``."""

    name: str
    support: int
    precision: float | None
    recall: float | None
    f1: float | None
    roc_auc: float | None
    undefined: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RocCurve:
    """One class against the rest: rates of false and true positives, from (0, 0) to (1, 1), at most 200 points."""

    name: str
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]


@dataclass(frozen=True)
class CalibrationBin:
    """Predictions whose top probability lies in (lower, upper]."""

    lower: float
    upper: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Evaluation:
    """What the figures are drawn from, for one split.  ``confusion[i][j]`` counts true class i predicted as j."""

    confusion: tuple[tuple[int, ...], ...]
    per_class: tuple[ClassMetrics, ...]
    roc: tuple[RocCurve, ...]
    calibration: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class Predictions:
    """One split's predictions: ``ids`` (n,) str, ``labels`` (n,) int64, ``log_probs`` (n, classes) float32."""

    ids: npt.NDArray[np.str_]
    labels: npt.NDArray[np.int64]
    log_probs: npt.NDArray[np.float32]


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
        path = self.path / "attempts" / str(number)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def last_attempt(self) -> int:
        """The number of the latest attempt; 0 where there was none."""
        numbers = (int(each.name) for each in (self.path / "attempts").glob("*") if each.name.isdigit())
        return max(numbers, default=0)

    def log_path(self, number: int) -> Path:
        return self.path / "attempts" / str(number) / "log.txt"

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
            _flush(file)

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
            return {name: _evaluation(each) for name, each in document["splits"].items()}
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
                found = Predictions(file[f"{split}_ids"], file[f"{split}_labels"], file[f"{split}_log_probs"])
            _check_predictions(found)
            return found
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


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under ``path`` whole when the block ends, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
            _flush(file)
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


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


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


def _text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")


def _whole(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"{name} is no whole number")


def _finite(name: str, value: object) -> None:
    """NaN is not between the two either."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not -_LARGEST < value < _LARGEST:
        raise ValueError(f"{name} is no finite number")


def check_numbers(name: str, values: object) -> None:
    """
    Raises:
        ValueError: it is no mapping to finite numbers or ``None``.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} are no mapping")
    for key, each in values.items():
        if each is not None:
            _finite(f"{name}: {key}", each)


def _texts(name: str, values: object) -> None:
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} is no mapping")
    for key, each in values.items():
        _text(f"{name}: {key}", each)


def _environment(values: object) -> None:
    if not isinstance(values, Mapping) or not all(isinstance(each, str | int | float) for each in values.values()):
        raise ValueError("environment is no mapping to texts and numbers")


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


def _check_predictions(found: Predictions) -> None:
    ids, labels, log_probs = found.ids, found.labels, found.log_probs
    if (ids.dtype.kind, labels.dtype.kind, log_probs.dtype.kind) != ("U", "i", "f"):
        raise ValueError("ids, labels and log-probabilities of other types")
    if log_probs.ndim != 2 or not log_probs.shape[1] or not ids.shape == labels.shape == log_probs.shape[:1]:
        raise ValueError(f"shapes that do not fit: {ids.shape}, {labels.shape}, {log_probs.shape}")
    if labels.size and not 0 <= labels.min() <= labels.max() < log_probs.shape[1]:
        raise ValueError("labels of classes that there are not")


def _evaluation(document: Mapping[str, Any]) -> Evaluation:
    return Evaluation(
        confusion=tuple(tuple(row) for row in document["confusion"]),
        per_class=tuple(ClassMetrics(**each) for each in document["per_class"]),
        roc=tuple(RocCurve(each["name"], tuple(each["fpr"]), tuple(each["tpr"])) for each in document["roc"]),
        calibration=tuple(CalibrationBin(**each) for each in document["calibration"]),
    )
