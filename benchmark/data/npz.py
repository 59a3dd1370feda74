"""The source ``npz``: arrays of images and labels in one file that ``numpy.savez`` wrote.

* ``x_train``, ``y_train`` and, where they are, ``x_val``, ``y_val``, ``x_test``, ``y_test``, as Keras has them; or
  ``train_images``, ``train_labels`` and so on, as MedMNIST has them; or ``images`` and ``labels`` with, where it is,
  the text ``split`` of each.  ``classes`` (text) may name the classes that whole numbers stand for.
* Images are uint8 (n, height, width) or (n, height, width, channels), labels whole numbers or text (n,) or (n, 1).
* Nothing is unpickled.  The images are copied out of the file once, in pieces, and mapped.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from benchmark.data import exports
from benchmark.data.arrays import shares
from benchmark.data.datacache import DataError
from benchmark.data.exports import Export, export, named, times
from benchmark.data.imageset import ArrayImages, ImageSet, arrange
from benchmark.data.listed import refuse_untrained, sorted_labels
from benchmark.data.splits import NAMES
from benchmark.data.table import NAMES_OF_SPLITS
from benchmark.run import DataSpec

Labels = npt.NDArray[np.str_] | npt.NDArray[np.int64]
NAMINGS: tuple[tuple[str, str], ...] = (("x_{}", "y_{}"), ("{}_images", "{}_labels"))
EXPECTED = "x_train and y_train (x_val, y_val, x_test, y_test), or images and labels (split)"
_PIECE = 4 * 2**20


@dataclass(frozen=True)
class _Archive:
    """An open file of arrays."""

    path: Path
    file: zipfile.ZipFile

    @property
    def names(self) -> list[str]:
        return [each.removesuffix(".npy") for each in self.file.namelist()]

    def wrong(self, name: str, reason: str) -> DataError:
        return DataError(f"{self.path}: {name} {reason}")

    def opened(self, name: str) -> tuple[IO[bytes], tuple[int, ...], np.dtype[Any], bool]:
        """At its first value: an array, its shape, its type, and whether it is in Fortran's order."""
        info = self.file.getinfo(f"{name}.npy")
        file = self.file.open(info)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise self.wrong(name, "holds Python objects, which are not read; save it as numbers or text")
        if info.file_size - file.tell() != prod(shape) * dtype.itemsize:
            raise self.wrong(name, f"is cut off: its shape is {shape}, of {dtype}")
        return file, shape, dtype, fortran

    def small(self, name: str) -> npt.NDArray[Any]:
        """An array, in memory."""
        self.opened(name)[0].close()
        with self.file.open(f"{name}.npy") as file:
            found: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return found

    def labels(self, name: str) -> npt.NDArray[Any]:
        found = self.small(name)
        if found.ndim == 2 and found.shape[1] == 1:
            found = found[:, 0]
        if found.ndim != 1 or found.dtype.kind not in "iuU":
            raise self.wrong(name, f"has shape {found.shape}, of {found.dtype}; labels are whole numbers or text, (n,)")
        return found

    def copy(self, name: str, target: Path, count: int) -> tuple[int, ...]:
        """Images, ``count`` of them, to a file of their own, piece by piece; the shape of each."""
        file, shape, dtype, fortran = self.opened(name)
        with file:
            if dtype != np.uint8 or len(shape) not in {3, 4} or fortran or 0 in shape:
                order = " in Fortran's order" if fortran else ""
                expected = "images are uint8 (n, height, width) or (n, height, width, channels)"
                raise self.wrong(name, f"has shape {shape}, of {dtype}{order}; {expected}")
            if len(shape) == 4 and shape[1] in {1, 3} and shape[3] not in {1, 2, 3, 4}:
                raise self.wrong(name, f"has shape {shape}: channels come last; save it with transpose(0, 2, 3, 1)")
            if shape[0] != count:
                raise self.wrong(name, f"has {shape[0]} images, but there are {count} labels")
            whole = (*shape, 1) if len(shape) == 3 else shape
            with target.open("wb") as output:
                header = {"descr": "|u1", "fortran_order": False, "shape": whole}
                np.lib.format.write_array_header_1_0(output, header)
                while piece := file.read(_PIECE):
                    output.write(piece)
            return whole[1:]


def load(spec: DataSpec, cache: Path) -> ImageSet:
    """The images of the file ``spec.path``; ids are their part and their number in it.

    Raises:
        DataError: it is no such file, or its arrays are not what the module says.
    """
    path = _path(spec)
    found = _export(spec, cache)
    given, labels, images = found.given, found.labels, ArrayImages(found.images)
    if (split := found.directory / "split.npy").exists():
        given = np.load(split)
    refuse_untrained(path, [(int(part), found.classes[label]) for part, label in zip(given, labels, strict=True)])
    try:
        twins = _twins(images, len(labels)) if spec.duplicates == "refuse" and len(set(given.tolist())) < 3 else None
        return arrange(images, labels, found.numbers, given, found.classes, shares(spec), twins)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def stamp(spec: DataSpec, cache: Path) -> str:
    """Changes when the file does."""
    return _export(spec, cache).stamp


def _twins(images: ArrayImages, count: int) -> list[str]:
    return [images.fingerprint(index) for index in range(count)]


def _path(spec: DataSpec) -> Path:
    return Path(spec.path).expanduser().absolute()


def _export(spec: DataSpec, cache: Path) -> Export:
    path = _path(spec)
    if not path.is_file():
        raise DataError(f"{path}: no such file; correct `path`")
    return export(cache, named(path.stem, path), lambda output: _make(path, output))


def _make(path: Path, output: Path) -> None:
    try:
        with zipfile.ZipFile(path) as file:
            _write(_Archive(path, file), output)
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: broken, or no file of numpy.savez: {error}") from error


def _write(archive: _Archive, output: Path) -> None:
    places = _places(archive)
    labels = {part: archive.labels(names[1]) for part, names in places.items()}
    if len({each.dtype.kind == "U" for each in labels.values()}) > 1:
        raise archive.wrong("labels", "are text in one part and numbers in another; save them alike")
    text = {part: [str(each) for each in values.tolist()] for part, values in labels.items()}
    classes = sorted_labels(name for each in text.values() for name in each)
    numbers = {name: number for number, name in enumerate(classes)}
    shapes = {
        images: archive.copy(images, output / f"{part}_images.npy", len(labels[part]))
        for part, (images, _) in places.items()
    }
    if len(set(shapes.values())) > 1:
        raise archive.wrong(" and ".join(shapes), f"have images of {' and '.join(map(str, shapes.values()))}")
    if "split" in archive.names and places["train"] == ("images", "labels"):
        np.save(output / "split.npy", _split(archive, len(labels["train"])))
    known = {part: np.array([numbers[name] for name in each], dtype=np.int64) for part, each in text.items()}
    files = {str(archive.path): times(archive.path)}
    exports.write(output, "arrays", _called(archive, classes), known, files)


def _places(archive: _Archive) -> Mapping[str, tuple[str, str]]:
    """Part -> the names of its arrays."""
    names = set(archive.names)
    for images, labels in NAMINGS:
        pairs = {part: (images.format(part), labels.format(part)) for part in NAMES}
        found = {part: pair for part, pair in pairs.items() if names & set(pair)}
        if "train" in found:
            _refuse_missing(archive, [name for pair in found.values() for name in pair])
            return found
    _refuse_missing(archive, ["images", "labels"])
    return {"train": ("images", "labels")}


def _refuse_missing(archive: _Archive, wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in archive.names]
    if missing:
        there = ", ".join(archive.names) or "nothing"
        raise DataError(f"{archive.path}: no array {', '.join(missing)}; expected {EXPECTED}; it has {there}")


def _split(archive: _Archive, count: int) -> npt.NDArray[np.int8]:
    found = archive.small("split")
    if found.dtype.kind != "U" or found.shape != (count,):
        raise archive.wrong("split", f"has shape {found.shape}, of {found.dtype}; it is text, ({count},)")
    if unknown := sorted({str(each) for each in found.tolist()} - NAMES_OF_SPLITS.keys()):
        raise archive.wrong("split", f"has {', '.join(unknown[:5])}; known are train, val and test")
    return np.array([NAMES_OF_SPLITS[each] for each in found.tolist()], dtype=np.int8)


def _called(archive: _Archive, classes: list[str]) -> list[str]:
    """The classes by the names that the file gives them."""
    if "classes" not in archive.names:
        return classes
    names = [str(each) for each in archive.labels("classes").tolist()]
    numbers = [int(each) for each in classes if each.isdecimal() and int(each) < len(names)]
    if len(numbers) != len(classes) or len(set(names)) != len(names):
        raise archive.wrong(
            "classes", f"has {len(names)} names, which do not fit the labels {', '.join(classes[:5])} …"
        )
    return [names[number] for number in numbers]
