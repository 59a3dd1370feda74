"""Which image is for training, which for validation, which for the test.

A split that a source has is kept.  A missing one is taken from the training images, the same share of each class
(stratified).  Images are ranked within their class by a hash of the split seed and their id, so that a split is the
same on every machine and with every library version, and an added image moves few others.  Equal images are ranked as
one, by the first of their ids, and stay together: none is tested that has been trained on.
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


def assign(
    given: Assignment,
    labels: Labels,
    ids: Sequence[str],
    classes: Sequence[str],
    shares: Shares,
    twins: Sequence[str] | None = None,
) -> Assignment:
    """The split of each image: ``given`` (n,) of TRAIN, VAL and TEST, completed by a test and a validation split where
    it has none.  Each class gives its share, rounded, at least one image, and keeps at least one.

    Args:
        twins: text (n,), equal for equal images; by default all differ.

    Raises:
        DataError: a class has too few training images to give one and keep one.
    """
    split = given.copy()
    for part, share in ((TEST, shares.test), (VAL, shares.val)):
        if not (split == part).any():
            split[_take(split, labels, ids, classes, part, share, shares.seed, twins or ids)] = part
    return split


def _take(
    split: Assignment,
    labels: Labels,
    ids: Sequence[str],
    classes: Sequence[str],
    part: int,
    share: float,
    seed: int,
    twins: Sequence[str],
) -> npt.NDArray[np.intp]:
    pools = [np.flatnonzero((split == TRAIN) & (labels == label)) for label in range(len(classes))]
    groups = [_groups(pool, ids, twins) for pool in pools]
    _refuse_small(groups, classes, NAMES[part])
    return np.concatenate([_first(each, ids, f"{seed}/{NAMES[part]}", share) for each in groups])


def _groups(pool: npt.NDArray[np.intp], ids: Sequence[str], twins: Sequence[str]) -> list[list[int]]:
    """Equal images together, the first id first."""
    found: dict[str, list[int]] = {}
    for index in sorted(pool.tolist(), key=lambda index: ids[index]):
        found.setdefault(twins[index], []).append(index)
    return list(found.values())


def _refuse_small(groups: Sequence[list[list[int]]], classes: Sequence[str], part: str) -> None:
    small = [f"{name!r} ({len(each)})" for name, each in zip(classes, groups, strict=True) if len(each) < 2]
    if small:
        raise DataError(
            f"too few training images for a stratified {part} split, which takes at least one of each class and leaves "
            f"one (copies count once): {', '.join(small)}; add images of these classes, or give a {part} split of "
            "your own"
        )


def _first(groups: list[list[int]], ids: Sequence[str], salt: str, share: float) -> npt.NDArray[np.intp]:
    """The share of the images, in whole groups; at least one group, and one is left."""
    total = sum(map(len, groups))
    wanted = min(max(1, int(total * share + 0.5)), total - 1)
    ranked = sorted(groups, key=lambda group: hashlib.sha256(f"{salt}/{ids[group[0]]}".encode()).digest())
    taken: list[int] = []
    for group in ranked[:-1]:
        if len(taken) >= wanted:
            break
        taken += group
    return np.array(taken, dtype=np.intp)
