"""A leaderboard.json from somewhere: read, and refused with its place and the remedy where it is not one.

    read(Path("baseline/leaderboard.json")).rows

Only what comparisons need is kept.  Nothing in the file is trusted: neither its size, its numbers, nor its names.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reports.documents import SCHEMA_VERSION
from reports.packed import Packed
from reports.text import one_line

NAME = "leaderboard.json"
LARGEST = 256 * 1024**2
"""Bytes of a file that is read."""
FEW = 5
"""Mistakes that an error lists."""
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{1,128}$")]
Value = bool | int | float | str | None


class BadLeaderboard(Exception):
    """A file is no leaderboard that can be compared; the message names the place and the remedy."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Interval(_Part):
    """A 95% interval."""

    low: float
    high: float


class Metric(_Part):
    """A mean over the seeds; ``reason`` says why there is none."""

    mean: float | None
    sd: Annotated[float, Field(ge=0)] | None = None
    values: tuple[float, ...] = ()
    interval: Interval | None = None
    reason: str | None = None


class RecordedRun(_Part):
    """One planned run of a row."""

    run_id: Id
    seed: int
    status: str
    metrics: dict[str, float | None]


class RecordedRow(_Part):
    """A configuration with at least one finished seed."""

    configuration_id: Id
    label: str
    data: str
    data_digest: Digest
    hyperparameters: dict[str, Value] = {}
    n_seeds: Annotated[int, Field(ge=1)]
    planned_seeds: Annotated[int, Field(ge=1)]
    metrics: dict[str, Metric]
    runs: tuple[RecordedRun, ...]
    answers: Packed | None = None

    @property
    def done(self) -> tuple[RecordedRun, ...]:
        return tuple(each for each in self.runs if each.status == "done")


class Left(_Part):
    """A run that counts in no row."""

    configuration_id: Id
    label: str
    data_digest: Digest
    kind: str
    reason: str


class DataSet(_Part):
    """A data set of the leaderboard."""

    label: str
    digest: Digest
    sizes: dict[str, Annotated[int, Field(ge=0)]] = {}


class Board(_Part):
    """What a comparison needs of a leaderboard."""

    schema_version: int
    experiment: str
    primary: str
    commit: str = ""
    data: tuple[DataSet, ...]
    rows: tuple[RecordedRow, ...]
    not_ranked: tuple[Left, ...] = ()


class _Version(BaseModel):
    schema_version: int


def find(path: Path) -> Path:
    """The file itself, or the one in a directory."""
    return path / NAME if path.is_dir() else path


def read(path: Path) -> Board:
    """The leaderboard in a file, or in the directory that holds it.

    Raises:
        BadLeaderboard: it is missing, too large, not one, or of another version.
    """
    path = find(path)
    text = _text(path)
    try:
        version = _Version.model_validate_json(text).schema_version
        if version != SCHEMA_VERSION:
            raise BadLeaderboard(
                f"{path}: of schema_version {version}; this program reads {SCHEMA_VERSION}: `report` writes it anew"
            )
        board = Board.model_validate_json(text)
    except ValidationError as error:
        raise BadLeaderboard(f"{path}: not a leaderboard of this program: {_mistakes(error)}") from error
    _check(board, path)
    return board


def _text(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise BadLeaderboard(f"{path}: {size:,} bytes are more than a leaderboard has ({LARGEST:,})")
        if not path.is_file():
            raise BadLeaderboard(f"{path}: not a file")
        return path.read_bytes()
    except OSError as error:
        raise BadLeaderboard(f"{path}: cannot be read ({error.strerror}): `report` writes {NAME}") from error


def _mistakes(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)
    listed = [one_line(f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}", 200) for each in found[:FEW]]
    more = f"; and {len(found) - FEW} more" if len(found) > FEW else ""
    return "; ".join(listed) + more


def _check(board: Board, path: Path) -> None:
    counts = {
        "configuration_id": Counter((row.data_digest, row.configuration_id) for row in board.rows),
        "label": Counter((row.data_digest, row.label) for row in board.rows),
        "run_id": Counter(("", run.run_id) for row in board.rows for run in row.runs),
    }
    for what, count in counts.items():
        if twice := [key for (_, key), n in count.items() if n > 1]:
            raise BadLeaderboard(f"{path}: two rows or runs have the {what} {one_line(twice[0], 60)!r}: it was edited")
