"""Learnable images from a seed: the data set for machines without data.

Each class has a smooth random template.  An image is its class's template mixed with another class's, each shifted, and
noise.  The weight of its own template is uniform in 0.35 to 1, so that the other one dominates in some 23% of the
images: a small network gets clearly above chance, and no network gets everything right.

Only integers are computed, so that the images are the same on every machine; numpy's generator is the one thing that
may change between its versions.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

VERSION = 1
"""Raised when other images come from the same seed."""

_GRID = 5
_CHUNK = 256
Integers = npt.NDArray[np.int32]


def images(labels: npt.NDArray[np.int64], classes: int, size: int, planes: int, seed: int) -> npt.NDArray[np.uint8]:
    """uint8 (n, size, size, planes), image i of class ``labels[i]``."""
    return np.concatenate(list(chunks(labels, classes, size, planes, seed)))


def chunks(
    labels: npt.NDArray[np.int64], classes: int, size: int, planes: int, seed: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """The same images, some at a time."""
    random = np.random.Generator(np.random.PCG64(seed))
    templates = _templates(random, classes, size, planes)
    for start in range(0, len(labels), _CHUNK):
        yield _draw(random, templates, labels[start : start + _CHUNK])


def _templates(random: np.random.Generator, classes: int, size: int, planes: int) -> Integers:
    """Values 0 to 255, (classes, size, size, planes): a coarse random grid, interpolated linearly."""
    grid = random.integers(0, 256, (classes, _GRID, _GRID, planes), dtype=np.int32)
    return _stretch(_stretch(grid, size, axis=1), size, axis=2)


def _stretch(values: Integers, size: int, axis: int) -> Integers:
    position = np.arange(size, dtype=np.int32) * ((_GRID - 1) * 256) // max(size - 1, 1)
    left = np.minimum(position // 256, _GRID - 2)
    shape = [-1 if each == axis else 1 for each in range(values.ndim)]
    weight = (position - left * 256).reshape(shape)
    below, above = np.take(values, left, axis), np.take(values, left + 1, axis)
    stretched: Integers = (below * (256 - weight) + above * weight) // 256
    return stretched


def _draw(random: np.random.Generator, templates: Integers, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    classes, size = templates.shape[:2]
    others = (labels + random.integers(1, classes, len(labels))) % classes
    weight = random.integers(90, 257, (len(labels), 1, 1, 1), dtype=np.int32)
    own, other = (_shifted(random, templates, each, size) for each in (labels, others))
    noise = random.integers(-48, 49, own.shape, dtype=np.int32) + random.integers(-48, 49, own.shape, dtype=np.int32)
    mixed: Integers = (own * weight + other * (256 - weight)) // 256 + noise
    return mixed.clip(0, 255).astype(np.uint8)


def _shifted(random: np.random.Generator, templates: Integers, labels: npt.NDArray[np.int64], size: int) -> Integers:
    """Each label's template, moved by up to an eighth of its side; what leaves at one edge enters at the other."""
    reach = size // 8
    rows, columns = (np.arange(size) + random.integers(-reach, reach + 1, (2, len(labels), 1))) % size
    picked: Integers = templates[labels[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked
