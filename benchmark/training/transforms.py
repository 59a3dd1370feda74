"""Random changes to whole batches of training images: crop with padding, flip, erase.

A batch is float32 (n, channels, height, width), normalised, channels last in memory, and so is what comes back.  Random
numbers are drawn on the CPU from the given generator, the same for every device, so that a seed means the same there.

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
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from benchmark.run import Augment

Transform = Callable[[Tensor, Generator], Tensor]

_AREA = (0.02, 1 / 3)
_LOG_ASPECT = (math.log(0.3), -math.log(0.3))


def augmentation(name: Augment) -> Transform | None:
    """The transformation called ``name`` ("crop+flip" and so on; "light" is crop+flip), or ``None`` for "none"."""
    parts = set(("crop+flip" if name == "light" else name).split("+")) - {"none"}
    if not parts:
        return None
    crop, flip, erased = "crop" in parts, "flip" in parts, "erase" in parts

    def transform(images: Tensor, generator: Generator) -> Tensor:
        if crop or flip:
            images = move(images, generator, crop=crop, flip=flip)
        return erase(images, generator) if erased else images

    return transform


def padding(size: int) -> int:
    """By how many pixels an image of this side may move: 4 in 32, and less than the side, as reflection needs."""
    return min(int(4 * size / 32 + 0.5), size - 1)


def move(images: Tensor, generator: Generator, *, crop: bool, flip: bool) -> Tensor:
    """Each image shifted (``crop``), mirrored (``flip``) or both."""
    count, channels, height, width = images.shape
    rows, columns = (_positions(count, side, generator, crop) for side in (height, width))
    if flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    start = torch.arange(count)[:, None, None] * (height * width)
    places = (start + rows[:, :, None] * width + columns[:, None, :]).view(-1).to(images.device)
    pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)
    return pixels.index_select(0, places).view(count, height, width, channels).permute(0, 3, 1, 2)


def erase(images: Tensor, generator: Generator) -> Tensor:
    """One rectangle of each image set to 0."""
    count, _, height, width = images.shape
    area = _uniform(count, *_AREA, generator) * (height * width)
    aspect = _uniform(count, *_LOG_ASPECT, generator).exp()
    inside_rows = _inside(height, (area * aspect).sqrt(), generator)
    inside_columns = _inside(width, (area / aspect).sqrt(), generator)
    inside = (inside_rows[:, :, None, None] & inside_columns[:, None, :, None]).to(images.device)
    return images.permute(0, 2, 3, 1).masked_fill(inside, 0.0).permute(0, 3, 1, 2)


def _positions(count: int, side: int, generator: Generator, crop: bool) -> Tensor:
    """For each image, which row (or column) of it comes to each place: (count, side)."""
    places = torch.arange(side).expand(count, side)
    if not crop:
        return places
    reach = padding(side)
    shifted = places + torch.randint(-reach, reach + 1, (count, 1), generator=generator)
    return (side - 1) - ((side - 1) - shifted.abs()).abs()


def _inside(side: int, length: Tensor, generator: Generator) -> Tensor:
    """Which of ``side`` places lie in a random interval of each (rounded) length: bool (n, side)."""
    length = length.round().clamp(1, side)
    start = (torch.rand(len(length), generator=generator) * (side - length + 1)).floor()
    places = torch.arange(side)
    return (places >= start[:, None]) & (places < (start + length)[:, None])


def _uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)
