"""What MLflow is told of a run, as plain values read from its run directory.

Pure: no MLflow here.  Equal run directories give equal records, timestamps included, so that publishing one twice adds
nothing.

Names: an epoch's ``train/…`` and ``val/…`` values have ``step`` = epoch, its other values become ``epoch/…``; final
values (``test/…``, ``model/…``, ``cost/…``, ``speed/…``) have step 0; the validation values of the selected epoch
become ``best/…``, so that the last point of a curve is not mistaken for them.  ``None``, NaN and infinities are left
out: MLflow would rank them; the reasons go to ``undefined.json``.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmark import mlflow_documents as documents
from benchmark.data.datasets import DataFacts
from benchmark.mlflow_documents import TAG_LENGTH
from benchmark.mlflow_store import redact
from benchmark.records import ClassMetrics, Event, Failure, Result
from benchmark.run import Run, Value
from benchmark.rundir import BrokenFile, RunDir

KIND, UUID, STATUS = "benchmark.kind", "benchmark.uuid", "benchmark.status"
COMMIT, PROFILE = "benchmark.commit", "benchmark.profile"
"""Digests of the result (or failure) and of the profile that MLflow has whole."""
FAILURE_TAGS = ("benchmark.failure_kind", "benchmark.failure_message")
PARAM_LENGTH, KEY_LENGTH, NAME_LENGTH, DIGEST_LENGTH = 6000, 250, 500, 36
END = {"done": "FINISHED", "failed": "FAILED", "pruned": "KILLED"}
"""What MLflow calls the end of a run."""
LOG_LINES = 2000
PER_CLASS = "per_class.json"


@dataclass(frozen=True)
class Point:
    """One value of a metric; ``time`` in milliseconds of Unix time."""

    name: str
    value: float
    time: int
    step: int = 0


@dataclass(frozen=True)
class Profile:
    """How fast the model is, measured apart from training; ``time`` in milliseconds."""

    metrics: Mapping[str, float | None]
    time: int
    digest: str


@dataclass(frozen=True)
class Record:
    """A run directory as it is now.

    ``digest`` is that of its result (or failure), ``None`` while there is none; ``profile`` may come later.  ``costs``
    are no part of the directory, which does not know the prices.
    """

    run: Run
    rundir: RunDir
    events: tuple[Event, ...] = ()
    result: Result | None = None
    failure: Failure | None = None
    profile: Profile | None = None
    digest: str | None = None
    costs: Mapping[str, float | None] = field(default_factory=dict)

    @classmethod
    def read(cls, run: Run, rundir: RunDir, costs: Mapping[str, float | None]) -> Record:
        """Reads everything but the evaluation and the log; ``costs`` are those of :meth:`Journal.costs`.

        Raises:
            BrokenFile: a file other than the profile is unreadable or of another version.
        """
        result = rundir.read_result()
        failure = None if result else rundir.read_failure()
        marker = "result.json" if result else "failure.json" if failure else None
        digest = _digest(rundir.path / marker) if marker else None
        return cls(run, rundir, rundir.read_events(), result, failure, _profile(rundir), digest, costs)

    @property
    def status(self) -> Literal["running", "done", "failed", "pruned"]:
        if self.failure and self.failure.kind == "pruned":
            return "pruned"
        return "done" if self.result else "failed" if self.failure else "running"

    @property
    def started(self) -> float | None:
        """Unix seconds, as far as the files know."""
        if self.result:
            return self.result.started
        return self.events[0].time if self.events else None

    @property
    def finished(self) -> int:
        """When it ended, in milliseconds: never before its last epoch, whatever was done to the clock."""
        end = self.result.finished if self.result else self.failure.time if self.failure else 0.0
        return _milliseconds(max((end, *(event.time for event in self.events))))


def params(run: Run) -> dict[str, str]:
    """The run's keys as MLflow's parameters: text, ``null`` for ``None``, cut at 6,000 characters."""
    values: dict[str, Value] = {
        **run.hyperparameters,
        "seed": run.seed,
        "data": run.data.label,
        "data_digest": run.data_digest,
        **({"weights_digest": run.weights_digest} if run.weights_digest else {}),
    }
    return {_name(name): _text(value)[:PARAM_LENGTH] for name, value in values.items()}


def dataset(run: Run, facts: DataFacts) -> dict[str, str]:
    """The run's data as MLflow's data set, without paths: label, content digest (MLflow takes 36 characters), sizes."""
    profile = {"classes": len(facts.classes), **{f"{split}_images": size for split, size in facts.sizes.items()}}
    return {
        "name": run.data.label[:NAME_LENGTH] or run.data.source,
        "digest": facts.digest[:DIGEST_LENGTH],
        "source_type": run.data.source,
        "source": json.dumps({"source": run.data.source, "name": run.data.name}),
        "profile": json.dumps(profile),
    }


def curve(events: tuple[Event, ...]) -> tuple[Point, ...]:
    """The epochs' values, with their original times."""
    return tuple(
        Point(_epoch_name(name), value, _milliseconds(event.time), event.epoch)
        for event in events
        for name, value in _finite(event.metrics)
    )


def finals(record: Record) -> tuple[Point, ...]:
    """The finished run's values, its profile's and its costs, step 0; of a run that failed its costs only."""
    spent = tuple(Point(_name(name), value, record.finished) for name, value in _finite(record.costs))
    if record.result is None:
        return spent if record.failure else ()
    values = ((_final_name(name), value) for name, value in _finite(record.result.metrics))
    points = [Point(name, value, record.finished) for name, value in values if name]
    points.append(Point("best/epoch", float(record.result.best_epoch), record.finished))
    return (*points, *(speed(record.profile) if record.profile else ()), *spent)


def speed(profile: Profile) -> tuple[Point, ...]:
    """The profile's values, step 0, at the profile's own time."""
    return tuple(Point(_name(name), value, profile.time) for name, value in _finite(profile.metrics))


def first_tags(record: Record, uuid: str) -> dict[str, str]:
    """What a run bears from its making on."""
    run = record.run
    identity = {"benchmark.run_id": run.run_id, "benchmark.configuration_id": run.configuration_id}
    return {KIND: "run", UUID: uuid, **identity, **documents.run_tag(run), **tags(record)}


def tags(record: Record) -> dict[str, str]:
    """Status, what failed, the description shown on the run's page, where it ran, and that it has a per-class table,
    which MLflow's page then offers for comparison."""
    values = {STATUS: record.status, "mlflow.note.content": _note(record)}
    if record.failure:
        values |= dict(zip(FAILURE_TAGS, (record.failure.kind, redact(record.failure.message)), strict=True))
    if record.result:
        environment = record.result.environment.items()
        values |= {f"benchmark.environment.{_name(name)}": str(value) for name, value in environment}
        if (record.rundir.path / "evaluation.json").exists():
            values["mlflow.loggedArtifacts"] = json.dumps([{"path": PER_CLASS, "type": "table"}])
        values |= documents.result_tag(record.rundir)
    if record.result or record.failure:
        values |= measured(record)
    return {name: value[:TAG_LENGTH] for name, value in values.items()}


def measured(record: Record) -> dict[str, str]:
    """The tag with what is recorded beside a result or a failure."""
    profile = record.profile.metrics if record.profile else {}
    return documents.measured_tag({**record.costs, **profile})


def files(record: Record) -> dict[str, bytes]:
    """Artifacts at the root: the run's own documents, the per-class table, what is undefined, the log's end; and of a
    result what a leaderboard is made from, in a folder, since MLflow's compare page offers all that is at the root."""
    names = ("run.json", "result.json", "failure.json")
    paths = (record.rundir.path / name for name in names)
    found = {path.name: path.read_bytes() for path in paths if path.exists()}
    if undefined := _undefined(record):
        found["undefined.json"] = _json(undefined)
    if log := record.rundir.log_tail(record.rundir.last_attempt, LOG_LINES):
        found["log.txt"] = redact(log).encode()
    if record.result:
        found |= documents.artifacts(record.rundir)
    return {**found, **_per_class(record)}


def _per_class(record: Record) -> dict[str, bytes]:
    """In the format of MLflow's ``log_table``, which itself appends to what is there and so cannot be repeated."""
    if record.result is None or not (record.rundir.path / "evaluation.json").exists():
        return {}
    evaluation = record.rundir.read_evaluation().get("test")
    if evaluation is None:
        return {}
    columns = ["class", "f1", "precision", "recall", "roc_auc", "support"]
    return {PER_CLASS: _json({"columns": columns, "data": [_row(each) for each in evaluation.per_class]})}


def _row(each: ClassMetrics) -> list[str | float | None]:
    return [each.name, each.f1, each.precision, each.recall, each.roc_auc, each.support]


def _undefined(record: Record) -> dict[str, str]:
    if record.result is None:
        return {}
    reasons = dict(record.result.undefined)
    for name, value in record.result.metrics.items():
        if value is None or not math.isfinite(value):
            reasons.setdefault(name, "no reason given" if value is None else f"not finite: {value}")
    return reasons


def _note(record: Record) -> str:
    lines = [f"`{record.run.model}` on {record.run.data.label}, seed {record.run.seed}, run `{record.run.run_id}`."]
    if record.result:
        lines += [record.result.architecture, *(f"- {note}" for note in record.result.notes)]
        lines += [f"- {each}" for each in documents.left_out(record.rundir)]
    if record.failure:
        lines.append(f"**Failed ({record.failure.kind}):** {record.failure.message}")
        lines.append(f"```\n{record.failure.traceback[-3000:]}\n```" if record.failure.traceback else "")
    return redact("\n\n".join(line for line in lines if line))


def _finite(metrics: Mapping[str, float | None]) -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if value is not None and math.isfinite(value):
            yield name, float(value)


def _epoch_name(name: str) -> str:
    section, _, rest = name.partition("/")
    return _name(name if section in {"train", "val"} else f"epoch/{rest or section}")


def _final_name(name: str) -> str:
    """Empty for a training value: the curve has it, and a further point would lie beside the curve."""
    section, _, rest = name.partition("/")
    return "" if section == "train" else _name(f"best/{rest}" if section == "val" else name)


def _name(name: str) -> str:
    """MLflow's names have letters, digits and ``_-. :/`` only, and look like a path."""
    return re.sub(r"[^\w\-. :/]", "_", name).strip("/.")[:KEY_LENGTH] or "_"


def _text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _json(document: Any) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _profile(rundir: RunDir) -> Profile | None:
    """``None`` where there is none that can be read: the result stands without it."""
    path = rundir.path / "profile.json"
    try:
        digest = _digest(path)  # before the values: were the file replaced meanwhile, the next reading would tell
        time = json.loads(path.read_bytes()).get("time") or path.stat().st_mtime
        return Profile(rundir.read_profile(), _milliseconds(time), digest)
    except (OSError, ValueError, AttributeError, BrokenFile):
        return None
