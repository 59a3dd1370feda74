"""Decoded images in files: one, or where they are larger than memory allows, shards.  Numpy only.

    images.npy           uint8 (n, size, size, channels), or
    images-00000.npy     its first rows, images-00001.npy the next as many, and so on; the last may have fewer

Images are large when they take more than 30% of the machine's memory; ``$TORCH_IMAGE_BENCHMARK_RESIDENT_BYTES`` says
otherwise.  Which files there are changes no byte of an image, and is no part of the data's identity.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from tokenize import TokenError

import numpy as np

from benchmark.data.checks import Checks
from benchmark.data.datacache import DataError
from benchmark.data.rows import Bytes, Joined
from benchmark.machine import total_memory

VARIABLE = "TORCH_IMAGE_BENCHMARK_RESIDENT_BYTES"
SHARE = 0.3
"""Of the memory: what images may take that are read as if they lay there."""
SHARD_BYTES, MOST_SHARDS = 256 * 2**20, 256
"""A shard is larger only where there would be more of them: each is a file that stays open while it is read."""
_UNREADABLE = (OSError, ValueError, EOFError, SyntaxError, TokenError)
"""numpy reads a header as Python, and says of a broken one what Python says."""
STEP = 32
"""A shard has a multiple of so many images, but for the last."""


@dataclass(frozen=True)
class Stored:
    """The files of ``shape[0]`` images, ``rows`` of them in each but the last; ``offsets`` are where the pixels begin.

    ``shape`` is (n, height, width, channels); ``checks`` (``checks.py``) are of each image.
    """

    paths: tuple[Path, ...]
    offsets: tuple[int, ...]
    rows: int
    shape: tuple[int, int, int, int]
    checks: Checks = field(default_factory=lambda: np.zeros(0, np.uint32), compare=False)

    @cached_property
    def image_bytes(self) -> int:
        return prod(self.shape[1:])

    @property
    def is_large(self) -> bool:
        """Whether they are not to be read as if they lay in memory: they are in shards, or too large for this machine.

        Raises:
            DataError: the limit in the environment is no number.
        """
        return len(self.paths) > 1 or self.shape[0] * self.image_bytes > resident_bytes()

    def mapped(self) -> Bytes | Joined:
        """The images, mapped from the files; a write would stay in memory."""
        parts: list[Bytes] = [np.load(path, mmap_mode="c", allow_pickle=False) for path in self.paths]
        return parts[0] if len(parts) == 1 else Joined(parts)


def resident_bytes() -> int:
    """How many bytes of images this machine reads as if they lay in memory.

    Raises:
        DataError: the environment gives one that is no number.
    """
    given = os.environ.get(VARIABLE)
    if given is None:
        return int(SHARE * total_memory())
    if not given.isdecimal():
        raise DataError(f"{VARIABLE}={given!r} is not a number of bytes; correct it, or unset it")
    return int(given)


def rows_of_a_file(count: int, image_bytes: int) -> int:
    """How many of ``count`` images each file is to have: all of them, unless they are large for this machine."""
    limit, total = resident_bytes(), count * image_bytes
    if total <= limit:
        return count
    wanted = max(min(SHARD_BYTES, limit // 4), total // MOST_SHARDS)
    return max(wanted // image_bytes // STEP, 1) * STEP


def names(count: int, rows: int) -> list[str]:
    """The names of the files of ``count`` images."""
    if rows >= count:
        return ["images.npy"]
    return [f"images-{number:05d}.npy" for number in range(-(-count // rows))]


def found(directory: Path, count: int, rows: int) -> Stored:
    """The files, looked at, not read.

    Raises:
        DataError: one is missing, cut off or of another shape.
    """
    paths = [directory / name for name in names(count, rows)]
    shapes, offsets = zip(*(_form(path) for path in paths), strict=True)
    _refuse_others(paths, shapes, [min(rows, count - start) for start in range(0, count, rows)])
    return Stored(tuple(paths), offsets, rows, (count, *shapes[0][1:]))


def _form(path: Path) -> tuple[tuple[int, ...], int]:
    """The shape of a file's array and where it begins."""
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            offset, size = file.tell(), os.fstat(file.fileno()).st_size
    except _UNREADABLE as error:
        raise DataError(f"{path}: cannot be read: {error}; delete {path.parent} and run the command again") from error
    if dtype != np.uint8 or fortran or len(shape) != 4 or size != offset + prod(shape):
        raise DataError(f"{path}: cut off, or no decoded images; delete {path.parent} and run the command again")
    return shape, offset


def _refuse_others(paths: Sequence[Path], shapes: Sequence[tuple[int, ...]], counts: Sequence[int]) -> None:
    for path, shape, count in zip(paths, shapes, counts, strict=True):
        if shape != (count, *shapes[0][1:]):
            raise DataError(f"{path}: its shape {shape} does not fit data.json; delete {path.parent} and run again")
