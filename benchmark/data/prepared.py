"""A prepared directory: a data set decoded for one size, number of channels and resize policy.  Written and read here.

    images.npy   uint8 (n, size, size, channels), in the order training, validation, test; large ones in several files,
                 images-00000.npy and so on (``shards.py``)
    labels.npy   int64 (n,)
    ids.npy      text (n,)
    checks.npy   uint32 (n,), of each image (``checks.py``)
    data.json    written last: version, digest, classes, sizes of the splits, mean and standard deviation, SHA-256 of
                 the three files before and of itself, and, where there are several files of images, how many each has

It is made under another name and renamed, so that it is there whole or not at all.  ``mean`` and ``std`` are of the
training images, for each channel, in units where white is 1; a standard deviation of 0 is given as 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmark.data import checks, shards
from benchmark.data.datacache import DataError
from benchmark.data.images import ImageError, Pixels, fit, parallel
from benchmark.data.imageset import DataFacts, ImageSet
from benchmark.data.rows import Joined
from benchmark.data.shards import Stored
from benchmark.data.telling import counted
from benchmark.durable import begin_flush, flush, sync_directory, write_json
from benchmark.machine import usable_cores

PREPARED_VERSION = 2
"""Raised when the files' format or the pixels made from the same image change."""

CHECKED = ("labels.npy", "ids.npy", "checks.npy")
Written = tuple[npt.NDArray[np.int64], checks.Checks]
_CHUNK = shards.STEP
_WINDOW, _WINDOW_BYTES = 64, 64 * 2**20
"""How many decoded chunks may wait to be written, and how many bytes of them."""
_BEHIND = 32 * 2**20
"""So many bytes are given to the disk at a time, while further images are decoded."""


@dataclass(frozen=True)
class Form:
    """What images are brought to: ``size`` x ``size`` x ``channels``, by the policy ``resize``, with a filter and a
    share of the side that is kept (``images.py``)."""

    size: int
    channels: int
    resize: str
    interpolation: str = "auto"
    crop_pct: float | None = None

    @property
    def name(self) -> str:
        """Of its directory; what is by default is not named."""
        parts = [str(self.size), str(self.channels), "crop" if self.resize == "auto" else self.resize]
        parts += [self.interpolation] * (self.interpolation not in ("auto", "bilinear"))
        return "-".join(parts + [repr(self.crop_pct)] * (self.crop_pct not in (None, 1.0)))

    @property
    def image_bytes(self) -> int:
        return self.size * self.size * self.channels


@dataclass(frozen=True)
class Header:
    """``data.json``."""

    digest: str
    classes: tuple[str, ...]
    sizes: Mapping[str, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    files: Mapping[str, str]
    shard_rows: int | None = None

    @property
    def count(self) -> int:
        return sum(self.sizes.values())


def write(
    directory: Path, data: ImageSet, facts: DataFacts, form: Form, pixels: Callable[[int], Pixels] | None = None
) -> None:
    """Fills an empty directory.  Of the images, only those that are being decoded are in memory.

    Args:
        pixels: of an image by its number; by default as ``data.images`` has them.

    Raises:
        DataError: an image has changed since it was inspected, or cannot be brought to the form.
        OSError: the disk is full, or the like.
    """
    _write_array(directory / "labels.npy", data.labels[data.order])
    _write_array(directory / "ids.npy", np.array(data.ids, dtype=np.str_)[data.order])
    rows = shards.rows_of_a_file(len(data.order), form.image_bytes)
    chunks = _render(data, form, pixels or data.images.pixels)
    histogram, found = _write_images(directory, chunks, len(data.order), form, rows)
    _write_array(directory / "checks.npy", found)
    mean, std = _moments(histogram)
    document: dict[str, Any] = {"digest": facts.digest, "classes": facts.classes, "sizes": dict(facts.sizes)}
    document |= {"mean": mean, "std": std, "files": {name: checks.of_file(directory / name) for name in CHECKED}}
    if rows < len(data.order):
        document["shard_rows"] = rows
    write_json(directory / "data.json", checks.sealed({"schema_version": PREPARED_VERSION, **document}))
    sync_directory(directory)


def read(directory: Path) -> Header:
    """What ``data.json`` says.

    Raises:
        DataError: the directory is missing, incomplete or of another version.
    """
    path = directory / "data.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema_version"] != PREPARED_VERSION:
            raise DataError(f"{path}: of version {document['schema_version']}; this program reads {PREPARED_VERSION}")
        document = checks.unsealed(document)
        lists = {name: tuple(document[name]) for name in ("classes", "mean", "std")}
        rows = document.get("shard_rows")
        return Header(
            digest=document["digest"],
            sizes=document["sizes"],
            files=document["files"],
            shard_rows=rows and int(rows),
            **lists,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read: {error}; delete {directory} and run the command again") from error


def arrays(
    directory: Path,
) -> tuple[npt.NDArray[np.uint8] | Joined, npt.NDArray[np.int64], npt.NDArray[np.str_]]:
    """Images (mapped from the files; a write would stay in memory), labels and ids.

    Raises:
        DataError: as :func:`stored`.
    """
    images, labels, ids = stored(directory)
    return images.mapped(), labels, ids


def stored(directory: Path) -> tuple[Stored, npt.NDArray[np.int64], npt.NDArray[np.str_]]:
    """The files of the images, labels, and ids (mapped: a million of them are large).

    Raises:
        DataError: a file is missing, cut off, or not what ``data.json`` says.
    """
    header = read(directory)
    images = shards.found(directory, header.count, header.shard_rows or header.count)
    try:
        for name, digest in header.files.items():
            if checks.of_file(directory / name) != digest:
                raise ValueError(f"the SHA-256 of {name} is not the one in data.json")
        images = replace(images, checks=np.load(directory / "checks.npy", allow_pickle=False))
        labels = np.load(directory / "labels.npy", allow_pickle=False)
        ids = np.load(directory / "ids.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{directory}: incomplete or broken: {error}; delete it and run the command again") from error
    if not header.count == len(labels) == len(ids) == len(images.checks):
        raise DataError(f"{directory}: its arrays do not fit data.json; delete it and run the command again")
    return images, labels, ids


def is_whole(directory: Path, digest: str) -> bool:
    """Whether the directory can be used as it is."""
    try:
        stored(directory)
        return read(directory).digest == digest
    except DataError:
        return False


def _write_array(path: Path, array: npt.NDArray[np.generic]) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        flush(file)


@dataclass(frozen=True)
class _Chunk:
    """Some images, uint8 (n, size, size, channels), their checks, and the histogram, int64 (channels, 256), of those
    that are training images."""

    images: Pixels
    checks: checks.Checks
    histogram: npt.NDArray[np.int64]


def _write_images(directory: Path, chunks: Iterator[_Chunk], count: int, form: Form, rows: int) -> Written:
    """Returns the training images' histogram, (channels, 256), and the checks of all images.

    Written in order, not through a memory map: on a full disk a map kills the process, a write is refused.
    """
    histogram, found = np.zeros((form.channels, 256), dtype=np.int64), list[checks.Checks]()
    for number, name in enumerate(shards.names(count, rows)):
        own = min(rows, count - number * rows)
        with (directory / name).open("wb") as file:
            shape = (own, form.size, form.size, form.channels)
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            begun = 0
            for chunk in islice(chunks, -(-own // _CHUNK)):
                file.write(chunk.images.data)
                if file.tell() - begun >= _BEHIND:
                    begun = begin_flush(file, begun)
                found.append(chunk.checks)
                histogram += chunk.histogram
            flush(file)
    return histogram, np.concatenate(found)


def _render(data: ImageSet, form: Form, pixels: Callable[[int], Pixels]) -> Iterator[_Chunk]:
    """The images in their order.  All that is computed of them is computed where they are decoded, by several
    threads; who takes them has only to write."""
    count, train = len(data.order), data.sizes["train"]

    def chunk(start: int) -> _Chunk:
        order = data.order[start : start + _CHUNK]
        images = np.empty((len(order), form.size, form.size, form.channels), dtype=np.uint8)
        for row, index in enumerate(order.tolist()):
            images[row] = _fit(pixels(index), data.ids[index], form)
        return _Chunk(images, checks.of_images(images), _histogram(images[: max(0, train - start)]))

    window = min(_WINDOW, max(2 * usable_cores(), _WINDOW_BYTES // (_CHUNK * form.image_bytes)))
    return counted(parallel(chunk, range(0, count, _CHUNK), window), count, "decoding images", _CHUNK)


def _fit(pixels: Pixels, name: str, form: Form) -> Pixels:
    try:
        return fit(pixels, form.size, form.channels, form.resize, form.interpolation, form.crop_pct or 1.0)
    except ImageError as error:
        raise DataError(f"image {name}: {error}") from error


def _histogram(images: Pixels) -> npt.NDArray[np.int64]:
    """Of each channel, int64 (channels, 256).  Pillow counts bytes as they are; ``numpy.bincount`` would widen them."""
    width, channels = images.shape[2:]
    if not len(images):
        return np.zeros((channels, 256), dtype=np.int64)
    rows = images.reshape(-1, width, channels)
    planes = [rows] if channels == 3 else [rows[:, :, plane] for plane in range(channels)]
    counts = [Image.fromarray(plane).histogram() for plane in planes]
    return np.array(counts, dtype=np.int64).reshape(channels, 256)


def _moments(histogram: npt.NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Mean and (population) standard deviation of each channel, exact but for the last rounding: without BLAS, whose
    dot products end in bits that depend on the kernel that it chooses."""
    values = np.arange(256)
    count = histogram.sum(axis=1)
    mean = (histogram * values).sum(axis=1) / (255 * count)
    std = np.sqrt((histogram * (values / 255 - mean[:, None]) ** 2).sum(axis=1) / count)
    return mean.tolist(), np.where(std == 0, 1.0, std).tolist()
