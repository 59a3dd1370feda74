"""Data in the format of MNIST: a folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, and the same
with ``t10k`` for the test; each may be compressed (``.gz``)."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmark.data.arrays import shares
from benchmark.data.datasets import DataError
from benchmark.data.imageset import ArrayImages, ImageSet, arrange
from benchmark.data.splits import TEST, TRAIN
from benchmark.run import DataSpec

PARTS = {"train": TRAIN, "t10k": TEST}


def load(spec: DataSpec, cache: Path) -> ImageSet:
    """The images below ``spec.path``; the validation images are taken from those for training.

    Raises:
        DataError: a file is missing, or is not what it should be.
    """
    folder = Path(spec.path)
    images = {part: _read(folder, f"{part}-images-idx3-ubyte", 3) for part in PARTS}
    labels = {part: _read(folder, f"{part}-labels-idx1-ubyte", 1) for part in PARTS}
    if wrong := next((part for part in PARTS if len(images[part]) != len(labels[part])), None):
        raise DataError(f"{folder}: {wrong} has {len(images[wrong])} images and {len(labels[wrong])} labels")
    truth = np.concatenate([labels[part] for part in PARTS]).astype(np.int64)
    return arrange(
        ArrayImages(np.concatenate([images[part] for part in PARTS])[..., None]),
        truth,
        [f"{part}/{number}" for part in PARTS for number in range(len(labels[part]))],
        np.repeat(np.array(list(PARTS.values()), np.int8), [len(labels[part]) for part in PARTS]),
        [str(each) for each in range(int(truth.max()) + 1)],
        shares(spec),
    )


def _read(folder: Path, name: str, dimensions: int) -> npt.NDArray[np.uint8]:
    """The values of one file, whose header is two zeros, the type, the number of dimensions and their sizes."""
    path = next((each for each in (folder / name, folder / f"{name}.gz") if each.is_file()), None)
    if path is None:
        raise DataError(f"{folder / name}: no such file (nor with .gz); correct `path`")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    start = 4 + 4 * dimensions
    shape = tuple(int(each) for each in np.frombuffer(content[4:start], ">u4"))
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) - start != int(np.prod(shape)):
        raise DataError(f"{path}: not a file of bytes in {dimensions} dimensions, or cut off")
    return np.frombuffer(content[start:], np.uint8).reshape(shape)
