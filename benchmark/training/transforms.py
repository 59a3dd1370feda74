"""Random changes to whole batches of training images: crop with padding, flip, erase.

A batch is float32 (n, channels, height, width), normalised, channels last in memory, and so is what comes back.  Random
numbers are drawn on the CPU from the given generator, the same for every device, so that a seed means the same there.
A process that sees a part of a batch draws for the whole batch, so that each image changes as it would in one process.

* ``crop``: each image moves by up to 4 pixels in 32 (scaled to its size, rounded) in each direction; what becomes free
  is filled by reflection at the edge, without repeating it.
* ``flip``: each image is mirrored left to right with probability 1/2.
* ``erase``: in each image a rectangle is set to 0, the mean of the data.  Its area is 2% to 33% of the image, its
  aspect ratio 0.3 to 3.3, log-uniform, after Zhong et al., *Random Erasing Data Augmentation*, AAAI 2020 (who erase in
  half of the images).

Crop and flip are one look-up of pixels, so that each is nearly as cheap as both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from benchmark.run import Augment
from benchmark.training.share import Share

_AREA = (0.02, 1 / 3)
_LOG_ASPECT = (math.log(0.3), -math.log(0.3))


class Transform(Protocol):
    """Changes images; ``share`` says which of a batch they are, where they are not all of it."""

    def __call__(self, images: Tensor, generator: Generator, share: Share | None = None) -> Tensor: ...


@dataclass(frozen=True)
class Draws:
    """Random numbers for each of ``count`` images, of which ``seen`` are looked at."""

    generator: Generator
    count: int
    seen: slice

    @classmethod
    def of(cls, generator: Generator, images: Tensor, share: Share | None) -> Draws:
        return cls(generator, share.whole, share.seen) if share else cls(generator, len(images), slice(None))

    def uniform(self, *shape: int) -> Tensor:
        """From 0 to 1, of shape ``(seen, *shape)``."""
        return torch.rand(self.count, *shape, generator=self.generator)[self.seen]

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """From ``low`` to ``high`` - 1, of shape ``(seen, *shape)``."""
        return torch.randint(low, high, (self.count, *shape), generator=self.generator)[self.seen]


def augmentation(name: Augment) -> Transform | None:
    """The transformation called ``name`` ("crop+flip" and so on; "light" is crop+flip), or ``None`` for "none"."""
    parts = set(("crop+flip" if name == "light" else name).split("+")) - {"none"}
    if not parts:
        return None
    crop, flip, erased = "crop" in parts, "flip" in parts, "erase" in parts

    def transform(images: Tensor, generator: Generator, share: Share | None = None) -> Tensor:
        if crop or flip:
            images = move(images, generator, share, crop=crop, flip=flip)
        return erase(images, generator, share) if erased else images

    return transform


def padding(size: int) -> int:
    """By how many pixels an image of this side may move: 4 in 32, and less than the side, as reflection needs."""
    return min(int(4 * size / 32 + 0.5), size - 1)


def move(images: Tensor, generator: Generator, share: Share | None = None, *, crop: bool, flip: bool) -> Tensor:
    """Each image shifted (``crop``), mirrored (``flip``) or both."""
    count, channels, height, width = images.shape
    draws = Draws.of(generator, images, share)
    rows, columns = (_positions(count, side, draws, crop) for side in (height, width))
    if flip:
        mirrored = draws.uniform(1) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    start = torch.arange(count)[:, None, None] * (height * width)
    places = (start + rows[:, :, None] * width + columns[:, None, :]).view(-1).to(images.device)
    pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)
    return pixels.index_select(0, places).view(count, height, width, channels).permute(0, 3, 1, 2)


def erase(images: Tensor, generator: Generator, share: Share | None = None) -> Tensor:
    """One rectangle of each image set to 0."""
    _, _, height, width = images.shape
    draws = Draws.of(generator, images, share)
    area = _between(*_AREA, draws) * (height * width)
    aspect = _between(*_LOG_ASPECT, draws).exp()
    inside_rows = _inside(height, (area * aspect).sqrt(), draws)
    inside_columns = _inside(width, (area / aspect).sqrt(), draws)
    inside = (inside_rows[:, :, None, None] & inside_columns[:, None, :, None]).to(images.device)
    return images.permute(0, 2, 3, 1).masked_fill(inside, 0.0).permute(0, 3, 1, 2)


def _positions(count: int, side: int, draws: Draws, crop: bool) -> Tensor:
    """For each image, which row (or column) of it comes to each place: (count, side)."""
    places = torch.arange(side).expand(count, side)
    if not crop:
        return places
    reach = padding(side)
    shifted = places + draws.integers(-reach, reach + 1, 1)
    return (side - 1) - ((side - 1) - shifted.abs()).abs()


def _inside(side: int, length: Tensor, draws: Draws) -> Tensor:
    """Which of ``side`` places lie in a random interval of each (rounded) length: bool (n, side)."""
    length = length.round().clamp(1, side)
    start = (draws.uniform() * (side - length + 1)).floor()
    places = torch.arange(side)
    return (places >= start[:, None]) & (places < (start + length)[:, None])


def _between(low: float, high: float, draws: Draws) -> Tensor:
    return low + (high - low) * draws.uniform()
