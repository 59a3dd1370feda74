"""A table of image files: CSV or TSV with a header, UTF-8, a row for each image.

* Columns, unless they are named: the path in the first of ``path``, ``image``, ``file``, ``filename``; the class in
  the first of ``label``, ``class``, ``target``; the split in ``split``, which may be missing.  Others are passed over.
* The split is ``train`` (``training``), ``val`` (``valid``, ``validation``) or ``test`` (``testing``), in any case;
  given for all rows or for none.
* Paths are relative to the table, with ``/``.  A relative path may not lead out of the table's directory, by ``..`` or
  by a link: a table that came from elsewhere could name any file.  An absolute path may lie anywhere, since it can only
  have been meant.
* The delimiter is the one of comma, tab and semicolon that the header has most of.

Every row that breaks a rule is told, with its line.
"""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.data.datacache import DataError
from benchmark.data.layout import SPLITS, printable
from benchmark.data.splits import TEST, TRAIN

SHOWN = 20
PATHS, LABELS, SPLIT = ("path", "image", "file", "filename"), ("label", "class", "target"), ("split",)
NAMES_OF_SPLITS = {**SPLITS, "training": TRAIN, "testing": TEST}


@dataclass(frozen=True)
class Row:
    """``split`` is ``None`` where the table has no such column, or an empty field; ``id`` is the path as written."""

    line: int
    path: Path
    id: str
    label: str
    split: int | None


@dataclass
class _Wrong:
    """What is wrong with a table, in words."""

    table: Path
    lines: list[str] = field(default_factory=list)

    def add(self, line: int, reason: str) -> None:
        self.lines.append(f"line {line}: {reason}")

    def check(self) -> None:
        if self.lines:
            more = [f"and {len(self.lines) - SHOWN} more"] if len(self.lines) > SHOWN else []
            shown = "".join(f"\n  {each}" for each in [*self.lines[:SHOWN], *more])
            rows = f"{len(self.lines)} row{'s' * (len(self.lines) != 1)}"
            raise DataError(f"{self.table}: {rows} cannot be used; correct or remove them:{shown}")


@dataclass(frozen=True)
class _Columns:
    path: int
    label: int
    split: int | None


def rows(table: Path, path: str = "", label: str = "", split: str = "") -> list[Row]:
    """The rows of a table, ordered by their ids.

    Args:
        path, label, split: the names of its columns; empty: the usual ones.

    Raises:
        DataError: the table cannot be read, or rows of it cannot be used.
    """
    wrong, found = _Wrong(table), list[Row]()
    records = _records(table)
    columns, width = _columns(table, records, path, label, split)
    for line, record in records:
        if row := _row(table, line, record, columns, width, wrong):
            found.append(row)
    _refuse_twice(found, wrong)
    _refuse_some_without_split(found, wrong)
    wrong.check()
    if not found:
        raise DataError(f"{table}: no rows below its header; add one for each image")
    return sorted(found, key=lambda each: each.id)


def _records(table: Path) -> Iterator[tuple[int, list[str]]]:
    """The line at which each record ends, and its fields; the first is the header."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",\t;", key=header.count), strict=True)
            yield from ((reader.line_num, record) for record in reader if record)
    except UnicodeDecodeError as error:
        line = table.read_bytes().count(b"\n", 0, _place(table)) + 1
        raise DataError(f"{table}: line {line}: not UTF-8 ({error.reason}); save it as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{table}: line {reader.line_num}: {error}; correct it") from error
    except OSError as error:
        raise DataError(f"{table}: cannot be read: {error.strerror}; correct `path`") from error


def _place(table: Path) -> int:
    """Where the first byte is that is not UTF-8."""
    try:
        table.read_bytes().decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0


def _columns(
    table: Path, records: Iterator[tuple[int, list[str]]], path: str, label: str, split: str
) -> tuple[_Columns, int]:
    _, header = next(records, (0, []))
    names = [each.strip() for each in header]
    if len(set(names)) != len(names):
        raise DataError(f"{table}: line 1: two columns have the same name; rename one")
    wanted = (("image_column", path, PATHS), ("label_column", label, LABELS))
    first, second = (_place_of(table, names, *each) for each in wanted)
    third = _place_of(table, names, "split_column", split, SPLIT) if split or set(SPLIT) & set(names) else None
    return _Columns(first, second, third), len(names)


def _place_of(table: Path, names: Sequence[str], key: str, given: str, usual: Sequence[str]) -> int:
    for name in (given,) if given else usual:
        if name in names:
            return names.index(name)
    what = f"no column {given!r}" if given else f"no column called {', '.join(usual[:-1])} or {usual[-1]}"
    raise DataError(f"{table}: line 1: {what}; its columns are {', '.join(map(repr, names))}; name one with `{key}`")


def _row(table: Path, line: int, record: list[str], columns: _Columns, width: int, wrong: _Wrong) -> Row | None:
    if len(record) != width:
        wrong.add(line, f"{len(record)} fields instead of {width}")
        return None
    path, label = record[columns.path].strip(), printable(record[columns.label].strip())
    split = record[columns.split].strip().lower() if columns.split is not None else ""
    reasons = [_unsafe(table.parent, path), _unfit(label), _unknown(split)]
    for reason in filter(None, reasons):
        wrong.add(line, reason)
    if any(reasons):
        return None
    place = Path(os.path.abspath(table.parent / path))  # noqa: PTH100 - keeps links
    return Row(line, place, printable(path), label, NAMES_OF_SPLITS.get(split))


def _unfit(label: str) -> str | None:
    if not label:
        return "has no label"
    return None if label.isprintable() else "the label has a control character"


def _unknown(split: str) -> str | None:
    return f"unknown split {split!r}; known are train, val and test" if split and split not in NAMES_OF_SPLITS else None


def _unsafe(directory: Path, path: str) -> str | None:
    """Why a path cannot be taken, in words."""
    if not path:
        return "has no path"
    if not path.isprintable():
        return "the path has a control character"
    if not Path(path).is_absolute() and os.pardir in Path(path).parts and not _below(directory, os.path.normpath, path):
        return f"{path!r} leads out of the table's directory; write it as an absolute path if it is meant"
    try:
        found = (directory / path).stat()
    except OSError as error:
        return f"{path!r}: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return f"{path!r} is no file"
    if not Path(path).is_absolute() and not _below(directory, os.path.realpath, path):
        return f"{path!r} is a link out of the table's directory; write it as an absolute path if it is meant"
    return None


def _below(directory: Path, normal: Callable[[str], str], path: str) -> bool:
    root = normal(str(directory))
    return os.path.commonpath([root, normal(os.path.join(directory, path))]) == root  # noqa: PTH118 - as text


def _refuse_twice(found: Sequence[Row], wrong: _Wrong) -> None:
    first: dict[Path, int] = {}
    for row in found:
        if row.path in first:
            wrong.add(row.line, f"{row.id!r} stands in line {first[row.path]} already")
        first.setdefault(row.path, row.line)


def _refuse_some_without_split(found: Sequence[Row], wrong: _Wrong) -> None:
    if any(row.split is not None for row in found):
        for row in found:
            if row.split is None:
                wrong.add(row.line, "has no split, as other rows have")
