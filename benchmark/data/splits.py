"""Which image is for training, which for validation, which for the test.

A split that a source has is kept.  A missing one is taken from the training images, the same share of each class
(stratified).  Images are ranked within their class by a hash of the split seed and their id, so that a split is the
same on every machine and with every library version, and an added image moves few others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmark.data.datacache import DataError

NAMES = ("train", "val", "test")
TRAIN, VAL, TEST = range(3)

Assignment = npt.NDArray[np.int8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shares:
    """How large a split is that is taken from the training images, and the seed of the choice."""

    val: float
    test: float
    seed: int


def assign(given: Assignment, labels: Labels, ids: Sequence[str], classes: Sequence[str], shares: Shares) -> Assignment:
    """The split of each image: ``given`` (n,) of TRAIN, VAL and TEST, completed by a test and a validation split where
    it has none.  Each class gives its share, rounded, at least one image, and keeps at least one.

    Raises:
        DataError: a class has too few training images to give one and keep one.
    """
    split = given.copy()
    for part, share in ((TEST, shares.test), (VAL, shares.val)):
        if not (split == part).any():
            split[_take(split, labels, ids, classes, part, share, shares.seed)] = part
    return split


def _take(
    split: Assignment, labels: Labels, ids: Sequence[str], classes: Sequence[str], part: int, share: float, seed: int
) -> npt.NDArray[np.intp]:
    pools = [np.flatnonzero((split == TRAIN) & (labels == label)) for label in range(len(classes))]
    _refuse_small(pools, classes, NAMES[part])
    return np.concatenate([_first(pool, ids, f"{seed}/{NAMES[part]}", share) for pool in pools])


def _refuse_small(pools: Sequence[npt.NDArray[np.intp]], classes: Sequence[str], part: str) -> None:
    small = [f"{name!r} ({len(pool)})" for name, pool in zip(classes, pools, strict=True) if len(pool) < 2]
    if small:
        raise DataError(
            f"too few training images for a stratified {part} split, which takes at least one of each class and leaves "
            f"one: {', '.join(small)}; add images of these classes, or give a {part} split of your own"
        )


def _first(pool: npt.NDArray[np.intp], ids: Sequence[str], salt: str, share: float) -> npt.NDArray[np.intp]:
    ranked = sorted(pool.tolist(), key=lambda index: hashlib.sha256(f"{salt}/{ids[index]}".encode()).digest())
    count = min(max(1, int(len(pool) * share + 0.5)), len(pool) - 1)
    return np.array(ranked[:count], dtype=np.intp)
