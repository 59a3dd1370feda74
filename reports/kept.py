"""A ``leaderboard.json`` read again: another version's, or another machine's, and so not believed.

kept = read(Path("baseline/leaderboard.json"))
kept.rows["fashion-mini", "resnet18"].mean
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.rundir import RunDir
from reports.documents import SCHEMA_VERSION
from reports.metrics import better

LARGEST = 256 * 2**20
"""Bytes."""
NAME = "leaderboard.json"
RUN_ID_LENGTH = 12


class BadLeaderboard(ValueError):
    """The file is no leaderboard of this version."""


@dataclass(frozen=True)
class KeptRow:
    """A row's primary metric: its mean over the seeds (``None`` where it is not ranked), its 95% interval if there was
    one, and the run directories of its finished seeds, which may be elsewhere by now."""

    label: str
    data: str
    mean: float | None
    interval: tuple[float, float] | None = None
    seeds: int = 0
    run_ids: tuple[str, ...] = ()
    rundirs: tuple[RunDir, ...] = ()


@dataclass(frozen=True)
class Kept:
    """``rows``: (data set, label) -> row; ``digests``: data set -> digest of its images."""

    path: Path
    experiment: str
    primary: str
    rows: Mapping[tuple[str, str], KeptRow]
    digests: Mapping[str, str] = field(default_factory=dict)


def read(path: Path) -> Kept:
    """From the file, or from a directory of results that has it.

    Raises:
        BadLeaderboard: it cannot be read, or is not what this version writes.
    """
    path = path / NAME if path.is_dir() else path
    try:
        if path.stat().st_size > LARGEST:
            raise BadLeaderboard(f"{path}: larger than {LARGEST // 2**20} MiB")
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        if document["schema_version"] != SCHEMA_VERSION:
            found = document["schema_version"]
            raise BadLeaderboard(f"{path}: schema_version {found!r} is not {SCHEMA_VERSION}: write it again (`report`)")
        better(document["primary"])
        rows = [_row(each, document["primary"], path.parent) for each in document["rows"]]
        digests = {str(each["label"]): str(each["digest"]) for each in document["data"]}
        return Kept(
            path, str(document["experiment"]), document["primary"], {(r.data, r.label): r for r in rows}, digests
        )
    except BadLeaderboard:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadLeaderboard(f"{path}: not a leaderboard of this program: {type(error).__name__} {error}") from error


def _row(found: Mapping[str, Any], primary: str, directory: Path) -> KeptRow:
    metric = found["metrics"].get(primary, {})
    mean, interval = metric.get("mean"), metric.get("interval")
    done = [str(each["run_id"]) for each in found["runs"] if each["status"] == "done"]
    return KeptRow(
        label=str(found["label"]),
        data=str(found["data"]),
        mean=None if mean is None else _number(mean),
        interval=(_number(interval["low"]), _number(interval["high"])) if interval else None,
        seeds=len(done),
        run_ids=tuple(done),
        rundirs=tuple(RunDir(directory / "runs" / each) for each in done if _is_run_id(each)),
    )


def _is_run_id(text: str) -> bool:
    """It becomes a part of a path."""
    return len(text) == RUN_ID_LENGTH and all(each in "0123456789abcdef" for each in text)


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return float(value)


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
