"""The source ``csv``: image files that a table lists with their classes and, where it says so, their splits.

Rules of the table: ``table.py``.  Files are read when they are asked for, as those of a folder.  Classes are the
labels, sorted; labels that are all whole numbers are sorted as such.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmark.data import table
from benchmark.data.arrays import shares
from benchmark.data.datacache import DataError
from benchmark.data.filetable import scan
from benchmark.data.folder import FileImages
from benchmark.data.imageset import ImageSet, arrange
from benchmark.data.splits import NAMES, TRAIN
from benchmark.run import DataSpec


def load(spec: DataSpec, cache: Path) -> ImageSet:
    """The images of the table ``spec.path``.

    Raises:
        DataError: rows of the table cannot be used, or images cannot be read.
    """
    path = Path(spec.path).expanduser().absolute()
    rows = table.rows(path, spec.image_column, spec.label_column, spec.split_column)
    classes = sorted_labels(row.label for row in rows)
    numbers = {name: number for number, name in enumerate(classes)}
    given = np.array([TRAIN if row.split is None else row.split for row in rows], dtype=np.int8)
    labels = np.array([numbers[row.label] for row in rows], dtype=np.int64)
    refuse_untrained(path, [(int(part), row.label) for part, row in zip(given, rows, strict=True)])
    paths = [row.path for row in rows]
    facts = scan(Path(os.path.commonpath([path.parent, *paths])), paths, cache)
    twins = [each.sha256 for each in facts] if spec.duplicates == "refuse" else None
    images = FileImages(tuple(paths), tuple(facts))
    try:
        return arrange(images, labels, [row.id for row in rows], given, classes, shares(spec), twins)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def sorted_labels(labels: Iterable[str]) -> list[str]:
    """Each label once, in order."""
    found = sorted(set(labels))
    return sorted(found, key=int) if all(each.isdecimal() and str(int(each)) == each for each in found) else found


def refuse_untrained(place: Path | str, images: Sequence[tuple[int, str]]) -> None:
    """
    Args:
        images: the split and the class of each.

    Raises:
        DataError: a class has no training images.
    """
    trained = {name for part, name in images if part == TRAIN}
    unknown = sorted({(NAMES[part], name) for part, name in images if name not in trained})
    if unknown:
        names = ", ".join(f"{name!r} ({part})" for part, name in unknown[: table.SHOWN])
        raise DataError(f"{place}: classes without training images: {names}; add some, or remove these images")
