"""What a leaderboard's figures and statistics need of a run in MLflow, brought here once and looked at with suspicion.

    evidence = Evidence(reader, uri, cache_directory())
    places = evidence.directories([(mlflow_run_id, commit)])     # id -> a RunDir's directory, with what could be had
    print(evidence.troubles)

A run that is whole does not change, so what was brought once is not asked for again.  A file that does not hold what
its name says is left out and named; it never costs the leaderboard.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

import numpy as np

from benchmark.durable import atomic
from benchmark.mlflow_documents import FOLDER, SIZES, BadDocument, parse
from benchmark.mlflow_store import TrackingError
from benchmark.records import SCHEMA_VERSION, Event
from benchmark.records import Evaluation as SplitEvaluation
from benchmark.rundir import RunDir

if TYPE_CHECKING:
    from benchmark.mlflow_reading import Reader

THREADS = 8
LARGEST_COUNT = 2**53
INFLATION = 4
"""A compressed archive may hold at most so many times the largest size."""


@dataclass(frozen=True)
class EvaluationFile:
    """``evaluation.json`` as :meth:`RunDir.write_evaluation` writes it."""

    schema_version: int
    classes: tuple[str, ...]
    splits: Mapping[str, SplitEvaluation]


@dataclass
class Evidence:
    """Brings the files of runs of the store at ``uri`` to ``cache``."""

    reader: Reader
    uri: str
    cache: Path
    troubles: list[str] = field(default_factory=list)

    def directories(self, runs: Iterable[tuple[str, str]]) -> dict[str, Path]:
        """MLflow run id -> directory, of runs given by their id and commit tag."""
        pairs = list(runs)
        with ThreadPoolExecutor(THREADS) as pool:
            places = list(pool.map(lambda pair: self._directory(*pair), pairs))
        return {mlflow_run_id: place for (mlflow_run_id, _), place in zip(pairs, places, strict=True)}

    def _directory(self, mlflow_run_id: str, commit: str) -> Path:
        name = hashlib.sha256("\n".join((self.uri, mlflow_run_id, commit)).encode()).hexdigest()[:24]
        directory = self.cache / "mlflow-artifacts" / name
        missing = [each for each in SIZES if not _place(directory, each).exists()]
        if missing:
            self._bring(mlflow_run_id, directory, missing)
        return directory

    def _bring(self, mlflow_run_id: str, directory: Path, names: list[str]) -> None:
        try:
            found = self.reader.fetch(mlflow_run_id, {f"{FOLDER}/{name}": SIZES[name] for name in names})
        except TrackingError as error:
            self.troubles.append(f"MLflow run {mlflow_run_id}: its artifacts cannot be had: {error}")
            return
        for path, content in found.items():
            name = path.rpartition("/")[2]
            try:
                CHECKS[name](content)
            except BadDocument as error:
                self.troubles.append(f"MLflow run {mlflow_run_id}: {name} is left out: {error}")
                continue
            with atomic(_place(directory, name)) as file:
                file.write(content)


def check_evaluation(content: bytes) -> None:
    """That it is an evaluation whose parts fit together.

    Raises:
        BadDocument: it is not.
    """
    document = parse(EvaluationFile, content)
    if document.schema_version != SCHEMA_VERSION:
        raise BadDocument(f"an evaluation of version {document.schema_version}")
    for split, each in document.splits.items():
        k = len(document.classes)
        square = len(each.confusion) == k and all(len(row) == k for row in each.confusion)
        counts = all(0 <= count < LARGEST_COUNT for row in each.confusion for count in row)
        curves = all(len(curve.fpr) == len(curve.tpr) for curve in each.roc)
        if not (square and counts and curves and tuple(row.name for row in each.per_class) == document.classes):
            raise BadDocument(f"its {split[:40]} numbers do not fit its {k} classes")


def check_events(content: bytes) -> None:
    """That each line is an epoch.

    Raises:
        BadDocument: one is not.
    """
    for line in content[: content.rfind(b"\n") + 1].splitlines():
        parse(Event, line)


def check_predictions(content: bytes) -> None:
    """That it holds arrays of the right types and shapes, and no objects, and is not much larger unpacked.

    Raises:
        BadDocument: it does not.
    """
    try:
        with ZipFile(io.BytesIO(content)) as packed:
            if sum(each.file_size for each in packed.infolist()) > INFLATION * SIZES["predictions.npz"]:
                raise BadDocument("unpacked it is too large")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            splits = [name.removesuffix("_labels") for name in arrays.files if name.endswith("_labels")]
            fits = all(
                _fits(*(arrays[f"{split}_{part}"] for part in ("ids", "labels", "log_probs"))) for split in splits
            )
    except (ValueError, KeyError, OSError, EOFError, MemoryError, BadZipFile, NotImplementedError) as error:
        raise BadDocument(f"not predictions: {error}") from None
    if not splits or not fits:
        raise BadDocument("its arrays do not fit together")


def _fits(ids: np.ndarray, labels: np.ndarray, log_probs: np.ndarray) -> bool:
    kinds = ids.dtype.kind == "U" and labels.dtype == np.int64 and log_probs.dtype == np.float32
    shapes = ids.ndim == labels.ndim == 1 and log_probs.ndim == 2 and len(ids) == len(labels) == len(log_probs)
    if not kinds or not shapes:
        return False
    inside = bool(((labels >= 0) & (labels < log_probs.shape[1])).all())
    return inside and bool((log_probs <= 1e-3).all())


CHECKS: Mapping[str, Callable[[bytes], None]] = {
    "evaluation.json": check_evaluation,
    "events.jsonl": check_events,
    "predictions.npz": check_predictions,
}


def _place(directory: Path, name: str) -> Path:
    rundir = RunDir(directory)
    return rundir.events_path if name == "events.jsonl" else rundir.path / name
