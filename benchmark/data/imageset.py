"""A data set before it is decoded for training: what every source gives, and its facts.

The digest is SHA-256 over the splits' sizes, the class names, the labels and the images' content in the order training,
validation, test; ids, paths and the source's name are not in it, so that a copy elsewhere is the same data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np
import numpy.typing as npt

from benchmark.data.datacache import DataError
from benchmark.data.images import Pixels
from benchmark.data.rows import Joined
from benchmark.data.splits import NAMES, TEST, TRAIN, Assignment, Labels, Shares, assign

_CHUNK_BYTES = 16 * 2**20
"""Of images that are looked at together."""

Order = npt.NDArray[np.intp]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class DataFacts:
    """What is known of a data set without decoding it again.

    ``digest`` is hexadecimal SHA-256.  ``image_size`` is the side of the squares that all images are, ``None`` where
    they vary.  ``channels`` is 1 where all images are grey.  ``sizes`` counts the images of ``train``, ``val`` and
    ``test``.
    """

    digest: str
    classes: tuple[str, ...]
    image_size: int | None
    channels: int
    sizes: Mapping[str, int]


class Images(Protocol):
    """Images by number, in the order in which a source has them."""

    @property
    def image_size(self) -> int | None: ...
    @property
    def channels(self) -> int: ...
    def pixels(self, index: int) -> Pixels:
        """uint8 (height, width, channels)."""
        ...

    def content(self, order: Order) -> str:
        """SHA-256, hexadecimal, of the images in this order."""
        ...

    def fingerprint(self, index: int) -> str:
        """SHA-256, hexadecimal: the same for equal images."""
        ...

    def shapes(self) -> Mapping[Shape, int]:
        """(height, width, channels) -> how many images have it."""
        ...


@dataclass(frozen=True)
class ArrayImages:
    """Images of one size in memory or mapped from files: uint8 (n, height, width, channels)."""

    array: npt.NDArray[np.uint8] | Joined

    @property
    def image_size(self) -> int | None:
        height, width = self.array.shape[1:3]
        return int(height) if height == width else None

    @property
    def channels(self) -> int:
        return int(self.array.shape[3])

    def pixels(self, index: int) -> Pixels:
        return np.asarray(self.array[index])

    def content(self, order: Order) -> str:
        digest = hashlib.sha256(str(self.array.shape[1:]).encode())
        chunk = max(1, _CHUNK_BYTES // prod(self.array.shape[1:]))
        for start in range(0, len(order), chunk):
            digest.update(self.array[order[start : start + chunk]].tobytes())
        return digest.hexdigest()

    def fingerprint(self, index: int) -> str:
        return hashlib.sha256(self.array[index].tobytes()).hexdigest()

    def shapes(self) -> Mapping[Shape, int]:
        height, width, channels = (int(each) for each in self.array.shape[1:])
        return {(height, width, channels): len(self.array)}


@dataclass(frozen=True)
class ImageSet:
    """A source's images with their splits: ``order`` (n,) puts them as training, validation, test; ``labels`` (n,) and
    ``ids`` are in the source's own order; ``notes`` is what a user should know of them."""

    images: Images
    classes: tuple[str, ...]
    labels: Labels
    ids: tuple[str, ...]
    order: Order
    sizes: Mapping[str, int]
    notes: tuple[str, ...] = ()

    def facts(self) -> DataFacts:
        digest = hashlib.sha256(json.dumps([dict(self.sizes), self.classes]).encode())
        digest.update(self.labels[self.order].astype("<i8").tobytes())
        digest.update(self.images.content(self.order).encode())
        image_size, channels = self.images.image_size, self.images.channels
        return DataFacts(digest.hexdigest(), self.classes, image_size, channels, self.sizes)


def arrange(
    images: Images,
    labels: Labels,
    ids: Sequence[str],
    given: Assignment,
    classes: Sequence[str],
    shares: Shares,
    twins: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> ImageSet:
    """A source's images, ``given`` (n,) its own splits, with the missing splits made; images with equal ``twins`` (n,)
    stay together in these.

    Raises:
        DataError: fewer than two classes, or too few images of one of them.
    """
    if len(classes) < 2:
        raise DataError(f"one class only ({', '.join(classes)}): a classifier needs at least two")
    split = assign(given, labels, ids, classes, shares, twins)
    order = np.argsort(split, kind="stable").astype(np.intp)
    sizes = {name: int((split == part).sum()) for part, name in enumerate(NAMES)}
    return ImageSet(images, tuple(classes), labels, tuple(ids), order, sizes, tuple(notes))


def given_splits(train: int, test: int) -> Assignment:
    """``train`` training images followed by ``test`` test images."""
    return np.repeat(np.array([TRAIN, TEST], dtype=np.int8), [train, test])
