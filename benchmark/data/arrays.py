"""The sources that need no files of the user's: fashion-mini, digits, synthetic."""

from __future__ import annotations

import hashlib
import importlib.metadata
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmark.data import exports, synthetic
from benchmark.data.embedded import FASHION_MINI, FASHION_MINI_CLASSES
from benchmark.data.imageset import ArrayImages, ImageSet, arrange, given_splits
from benchmark.data.rows import Joined
from benchmark.data.splits import Shares
from benchmark.run import DataSpec

HELD_BYTES = 256 * 2**20
"""Of synthetic images: more than these are made once, into the cache."""


def shares(spec: DataSpec) -> Shares:
    return Shares(val=spec.val_fraction, test=spec.test_fraction, seed=spec.split_seed)


def fashion_mini(spec: DataSpec) -> ImageSet:
    """6,000 training and 2,000 test images of Fashion-MNIST, 28 x 28 grey, 10 classes; ids are ``train/`` or ``test/``
    and the number in the original file."""
    with np.load(FASHION_MINI, allow_pickle=False) as file:
        images = np.concatenate([file["train_images"], file["test_images"]])[..., None]
        labels = np.concatenate([file["train_labels"], file["test_labels"]]).astype(np.int64)
        numbers = {part: file[f"{part}_indices"] for part in ("train", "test")}
    ids = [f"{part}/{number:05d}" for part, values in numbers.items() for number in values]
    given = given_splits(len(numbers["train"]), len(numbers["test"]))
    return arrange(ArrayImages(images), labels, ids, given, FASHION_MINI_CLASSES, shares(spec))


def digits(spec: DataSpec) -> ImageSet:
    """scikit-learn's 1,797 handwritten digits, 8 x 8 grey, 0 to 16 scaled to 0 to 255; the test split is made."""
    from sklearn.datasets import load_digits  # takes seconds to import

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    ids = [f"{number:04d}" for number in range(len(images))]
    labels = bunch.target.astype(np.int64)
    classes = [str(digit) for digit in range(10)]
    return arrange(ArrayImages(images), labels, ids, given_splits(len(images), 0), classes, shares(spec))


def synthetic_images(spec: DataSpec, cache: Path) -> ImageSet:
    """Images made from ``data_seed`` (``synthetic.py``), classes in turn; many are kept in the cache, and mapped."""
    parts = {"train": spec.train_size, "test": spec.test_size}
    labels = np.concatenate([_in_turn(count, spec.classes) for count in parts.values()])
    images = _synthetic(spec, labels, cache)
    ids = [f"{part}/{number:06d}" for part, count in parts.items() for number in range(count)]
    classes = [f"class {label}" for label in range(spec.classes)]
    return arrange(ArrayImages(images), labels, ids, given_splits(*parts.values()), classes, shares(spec))


def stamp(source: str) -> str:
    """Changes when these sources may give other images than before."""
    if source == "fashion-mini":
        return hashlib.sha256(FASHION_MINI.read_bytes()).hexdigest()
    if source == "digits":
        return f"scikit-learn {importlib.metadata.version('scikit-learn')}"
    return f"synthetic {synthetic.VERSION}, numpy {np.__version__}"


def _synthetic(spec: DataSpec, labels: npt.NDArray[np.int64], cache: Path) -> npt.NDArray[np.uint8] | Joined:
    form = (spec.classes, spec.size, spec.planes, spec.data_seed)
    shape = (len(labels), spec.size, spec.size, spec.planes)
    if prod(shape) <= HELD_BYTES:
        return synthetic.images(labels, *form)

    def make(output: Path) -> None:
        with (output / "train_images.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for chunk in synthetic.chunks(labels, *form):
                file.write(chunk.data)
        exports.write(output, "arrays", [str(each) for each in range(spec.classes)], {"train": labels}, {})

    name = f"synthetic-{'-'.join(map(str, (*shape, *form)))}"
    return exports.export(cache, exports.named(name, stamp("synthetic"), name), make).images


def _in_turn(count: int, classes: int) -> npt.NDArray[np.int64]:
    return np.arange(count, dtype=np.int64) % classes
