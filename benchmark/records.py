"""What the files of a run directory hold, and how it is checked after reading: they may have been edited.

Ground floor: standard library and numpy only; the files themselves are :mod:`benchmark.rundir`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

FailureKind = Literal[
    "diverged", "oom", "data", "config", "error", "timeout", "killed", "stopped", "infrastructure", "paused", "pruned"
]
"""``paused``: the job got as far as a search let it go, and another one may go on; never recorded.  ``pruned``: a
search stopped the run for good."""
NO_SPACE = "no space left"
"""In the message of a failure that a full disk caused."""
LIBRARIES = ("torch", "torchvision", "timm")
"""A result made with other versions of these is another result."""
SCHEMA_VERSION = 1
_LARGEST = 1e300


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

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Evaluation:
        """
        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is no evaluation.
        """
        return Evaluation(
            confusion=tuple(tuple(row) for row in document["confusion"]),
            per_class=tuple(ClassMetrics(**each) for each in document["per_class"]),
            roc=tuple(RocCurve(each["name"], tuple(each["fpr"]), tuple(each["tpr"])) for each in document["roc"]),
            calibration=tuple(CalibrationBin(**each) for each in document["calibration"]),
        )


@dataclass(frozen=True)
class Predictions:
    """One split's predictions: ``ids`` (n,) str, ``labels`` (n,) int64, ``log_probs`` (n, classes) float32."""

    ids: npt.NDArray[np.str_]
    labels: npt.NDArray[np.int64]
    log_probs: npt.NDArray[np.float32]

    def check(self) -> Predictions:
        """Itself, as it was read from a file.

        Raises:
            ValueError: types, shapes or labels that do not fit.
        """
        ids, labels, log_probs = self.ids, self.labels, self.log_probs
        if (ids.dtype.kind, labels.dtype.kind, log_probs.dtype.kind) != ("U", "i", "f"):
            raise ValueError("ids, labels and log-probabilities of other types")
        if log_probs.ndim != 2 or not log_probs.shape[1] or not ids.shape == labels.shape == log_probs.shape[:1]:
            raise ValueError(f"shapes that do not fit: {ids.shape}, {labels.shape}, {log_probs.shape}")
        if labels.size and not 0 <= labels.min() <= labels.max() < log_probs.shape[1]:
            raise ValueError("labels of classes that there are not")
        return self


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
