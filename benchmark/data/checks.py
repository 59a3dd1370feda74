"""Checks of a prepared directory, so that a flipped bit is noticed before it becomes a wrong number.

Each image has a CRC-32, which finds every flipped bit and every burst of up to 32: images that are read one by one from
disk are checked one by one.  Small files have a SHA-256 in ``data.json``, and that has one of its own.  None of it is
against malice: who may write the files may write the checks.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.data.datacache import DataError
from benchmark.data.rows import Bytes, Joined
from benchmark.run import canonical_json

OWN = "sha256"
"""The key of ``data.json`` that has the digest of all its others."""
Checks = npt.NDArray[np.uint32]
_STEP = 1024


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its digest."""
    return {**document, OWN: _digest(document)}


def unsealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without its digest.

    Raises:
        ValueError: it is not as it was sealed.
    """
    rest = {key: each for key, each in document.items() if key != OWN}
    if document.get(OWN) != _digest(rest):
        raise ValueError("its SHA-256 is not the one that it holds")
    return rest


def of_file(path: Path) -> str:
    """SHA-256, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_images(images: Bytes) -> Checks:
    """uint32 (n,), of images uint8 (n, ...)."""
    rows = np.ascontiguousarray(images).reshape(len(images), -1)
    return np.fromiter((zlib.crc32(row.data) for row in rows), np.uint32, len(rows))


def verify(images: Bytes | Joined, checks: Checks, place: Path) -> None:
    """Looks at every image.

    Raises:
        DataError: one is not what was written.
    """
    for start in range(0, len(checks), _STEP):
        compare(images[start : start + _STEP], checks[start : start + _STEP], place)


def compare(images: Bytes, checks: Checks, place: Path) -> None:
    """As :func:`verify`, for images that are in memory."""
    if not np.array_equal(of_images(images), checks):
        raise DataError(f"{place}: broken: the images are not those that were written; delete it and run again")


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()
