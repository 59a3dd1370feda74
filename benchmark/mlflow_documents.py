"""What MLflow holds of a run so that a leaderboard can be built from it alone, and reading it back.

Tags have what every row needs, since one search brings the tags of a thousand runs: the run (``benchmark.run``), its
result (``benchmark.result``, the file's very text, whose digest is the commit tag) and what was measured or billed
beside it (``benchmark.measured``).  A text longer than a tag may be is in the artifacts ``run.json`` and
``result.json`` only.  Artifacts under ``data/`` have what figures and statistics need, up to :data:`SIZES`.

What is read comes from another machine: every type is checked, and nothing is believed that does not fit together.
MLflow is not imported.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from benchmark.records import SCHEMA_VERSION, Result
from benchmark.run import Run
from benchmark.rundir import RunDir

RUN, RESULT, MEASURED = "benchmark.run", "benchmark.result", "benchmark.measured"
TAG_LENGTH = 8000
FOLDER = "data"
SIZES = {"evaluation.json": 8 * 2**20, "events.jsonl": 8 * 2**20, "predictions.npz": 64 * 2**20}
"""The largest of each that is published, or taken from a server, in bytes."""
T = TypeVar("T")
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}
Values = Mapping[str, float | None]


class BadDocument(Exception):
    """What MLflow holds is no document of ours; the message says why."""


def run_tag(run: Run) -> dict[str, str]:
    """Empty where the run's document is too long for a tag."""
    return _tag(RUN, json.dumps(run.to_json(), separators=(",", ":")))


def result_tag(rundir: RunDir) -> dict[str, str]:
    """The text of ``result.json``; empty where it is too long for a tag."""
    return _tag(RESULT, (rundir.path / "result.json").read_text(encoding="utf-8"))


def measured_tag(values: Values) -> dict[str, str]:
    """``speed/…`` of the profile and ``cost/…`` of the bills, those that are undefined included."""
    return _tag(MEASURED, json.dumps(dict(values), separators=(",", ":")))


def artifacts(rundir: RunDir) -> dict[str, bytes]:
    """Path -> content of what figures and statistics need, as far as it is there and not too large."""
    found = {name: path for name, path in _paths(rundir).items() if path.stat().st_size <= SIZES[name]}
    return {f"{FOLDER}/{name}": path.read_bytes() for name, path in found.items()}


def left_out(rundir: RunDir) -> tuple[str, ...]:
    """For a reader: what is too large for MLflow."""
    sizes = {name: path.stat().st_size for name, path in _paths(rundir).items()}
    return tuple(
        f"{name} ({size / 2**20:.0f} MiB) is in the run directory only"
        for name, size in sizes.items()
        if size > SIZES[name]
    )


def _paths(rundir: RunDir) -> dict[str, Path]:
    places = {name: rundir.path / name for name in SIZES} | {"events.jsonl": rundir.events_path}
    return {name: path for name, path in places.items() if path.exists()}


def read_run(text: str) -> Run:
    """The run of a document.

    Raises:
        BadDocument: it is none, or its keys do not give the identity that it tells.
    """
    parse(Run, text)
    try:
        return Run.from_json(json.loads(text))
    except ValueError as error:
        raise BadDocument(str(error)) from None


def read_result(text: str, run: Run, commit: str) -> Result:
    """The result of ``run``, whose text has the digest ``commit``.

    Raises:
        BadDocument: it is none, or another's.
    """
    if hashlib.sha256(text.encode()).hexdigest() != commit:
        raise BadDocument("the result is not the one that was committed")
    result = parse(Result, text)
    if result.schema_version != SCHEMA_VERSION:
        raise BadDocument(f"a result of version {result.schema_version}; this program reads {SCHEMA_VERSION}")
    if result.run_id != run.run_id:
        raise BadDocument(f"the result is that of run {result.run_id}")
    return result


def read_measured(text: str) -> dict[str, float | None]:
    """Name -> value.

    Raises:
        BadDocument: it is something else.
    """
    return dict(parse(dict[str, float | None], text))


def parse(kind: type[T], text: str | bytes) -> T:
    """The value of type ``kind`` that a JSON text tells, every part of it of its very type.

    Raises:
        BadDocument: it does not, or holds a number that is not finite.
    """
    try:
        json.loads(text, parse_constant=_refused, parse_float=_finite)
        return _adapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part)[:40] for part in first["loc"][:6])
        raise BadDocument(f"not a {_name(kind)}: {where}: {first['msg'][:200]}") from None
    except (ValueError, RecursionError) as error:
        raise BadDocument(f"not a {_name(kind)}: {str(error)[:200]}") from None


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    """Made once for each type: that takes longer than to read a document."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _name(kind: Any) -> str:
    return str(getattr(kind, "__name__", "document")).lower()


def _refused(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refused(text[:20])


def _tag(name: str, text: str) -> dict[str, str]:
    return {name: text} if len(text) <= TAG_LENGTH else {}
