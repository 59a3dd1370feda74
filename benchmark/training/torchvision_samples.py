"""What a data set of torchvision holds: arrays, or image files and their labels.

torchvision keeps the list of files under several names, none of them promised.  So what it opens for the first and the
last image is compared with what was found in the list, before any of it is believed.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.data.datacache import DataError

Sample = tuple[Path, int]
LISTS = ("samples", "_samples", "imgs")
PAIRS = (("_image_files", "_labels"), ("_images", "_labels"))
_CHUNK = 1024


def is_of_files(data: Any) -> bool:
    """Whether its images are files; otherwise they are an array."""
    return not hasattr(data, "data") and type(data).__name__ != "PCAM"


def files_of(data: Any) -> list[Sample]:
    """Every image file, absolute, and its label, ordered by path: directories are listed in any order.

    Raises:
        DataError: this version of torchvision keeps them otherwise.
    """
    samples = [(Path(os.path.abspath(path)), int(label)) for path, label in _listed(data)]  # noqa: PTH100 - keeps links
    if not samples or len(samples) != len(data):
        raise DataError(f"{type(data).__name__}: {len(samples)} image files found, {len(data)} expected")
    for place in {0, len(samples) - 1}:
        with _opened() as opened:
            label = data[place][1]
        if samples[place][0] not in opened or int(label) != samples[place][1]:
            raise DataError(f"this version of torchvision keeps the files of {type(data).__name__} in another way")
    return sorted(samples)


def arrays_of(data: Any, target: Path, count: int) -> None:
    """Writes the images, ``count`` of them, as uint8 (n, h, w, c).

    Raises:
        DataError, ValueError: they are something else.
    """
    if type(data).__name__ == "PCAM":
        return _write_pcam(data, target)
    images = pixels(data.data)
    if len(images) != count:
        raise DataError(f"{len(images)} images and {count} labels: a file is cut off, or from another set")
    np.save(target, images)
    return None


def pixels(data: Any) -> npt.NDArray[np.uint8]:
    """What a data set has as ``data`` as uint8 (n, h, w, c); (n, h, w) and (n, c, h, w) are known too.

    Raises:
        ValueError: not bytes, or of another shape.
    """
    array = np.asarray(data)
    if array.dtype != np.uint8 or array.ndim not in {3, 4}:
        raise ValueError(f"images of type {array.dtype} and shape {array.shape} instead of bytes (n, h, w, c)")
    if array.ndim == 3:
        return array[..., None]
    planes_second = array.shape[1] in {1, 3} and array.shape[3] not in {1, 3}
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1) if planes_second else array)


def labels_of(data: Any) -> npt.NDArray[np.int64]:
    """``targets``, or ``labels`` as some data sets call them, int64 (n,); of QMNIST's eight columns the first."""
    if type(data).__name__ == "PCAM":
        with data.h5py.File(_pcam(data, "targets")) as file:
            return np.asarray(file["y"], dtype=np.int64).reshape(-1)
    found = np.asarray(data.targets if hasattr(data, "targets") else data.labels, dtype=np.int64)
    return found[:, 0] if found.ndim == 2 else found


def _listed(data: Any) -> Iterator[tuple[Any, int]]:
    """Paths and labels."""
    for name in LISTS:
        if hasattr(data, name):
            return iter(getattr(data, name))
    for files, labels in PAIRS:
        if hasattr(data, files):
            return zip(getattr(data, files), getattr(data, labels), strict=True)
    if hasattr(data, "index") and hasattr(data, "categories"):
        return _caltech(data)
    raise DataError(f"this version of torchvision keeps the files of {type(data).__name__} in another way")


def _caltech(data: Any) -> Iterator[tuple[Path, int]]:
    root = Path(data.root)
    for number, label in zip(data.index, data.y, strict=True):
        category = data.categories[label]
        if type(data).__name__ == "Caltech101":
            yield root / "101_ObjectCategories" / category / f"image_{number:04d}.jpg", label
        else:
            yield root / "256_ObjectCategories" / category / f"{label + 1:03d}_{number:04d}.jpg", label


def _pcam(data: Any, what: str) -> Path:
    return Path(data._base_folder, data._FILES[data._split][what][0])


def _write_pcam(data: Any, target: Path) -> None:
    """Written in pieces: the training images have 7 GB."""
    with data.h5py.File(_pcam(data, "images")) as file, target.open("wb") as output:
        images = file["x"]
        if images.dtype != np.uint8 or images.ndim != 4:
            raise DataError(
                f"PCAM: images of type {images.dtype} and shape {images.shape} instead of bytes (n, h, w, c)"
            )
        header = {"descr": "|u1", "fortran_order": False, "shape": tuple(map(int, images.shape))}
        np.lib.format.write_array_header_1_0(output, header)
        for start in itertools.count(0, _CHUNK):
            if start >= len(images):
                return
            output.write(np.ascontiguousarray(images[start : start + _CHUNK]).data)


_WATCHED: list[set[Path]] = []


@contextmanager
def _opened() -> Iterator[set[Path]]:
    """The files that are opened within the block."""
    if not _WATCHED:
        _WATCHED.append(set())
        sys.addaudithook(_watch)  # stays for the life of the process
    opened = _WATCHED[0]
    opened.clear()
    yield opened


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        _WATCHED[0].add(Path(os.path.abspath(os.fsdecode(arguments[0]))))  # noqa: PTH100 - as above
