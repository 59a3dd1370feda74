"""Shears, shifts and turns of images, a matrix for each image.

A matrix, float32 (2, 3), takes a place (x, y, 1), in pixels from the centre of the image, to the place that its pixel
comes from; what comes from outside is 0.  As in torchvision, the nearest pixel is taken.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Matrix = list[list[float]]


def inverse_shear(x: float, y: float) -> Matrix:
    """By tangents ``x`` and ``y``, one of which is 0."""
    return [[1.0, x, 0.0], [y, 1.0, 0.0]]


def inverse_shift(x: float, y: float) -> Matrix:
    """By whole pixels, rounded towards 0."""
    return [[1.0, 0.0, -float(int(x))], [0.0, 1.0, -float(int(y))]]


def inverse_turn(degrees: float) -> Matrix:
    """About the centre, anticlockwise."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return [[cosine, -sine, 0.0], [sine, cosine, 0.0]]


def moved(images: Tensor, matrices: Tensor) -> Tensor:
    """Each of the images, uint8 (n, height, width, channels), by its own of the ``matrices``, float32 (n, 2, 3)."""
    count, height, width, channels = images.shape
    columns, rows = _sources(matrices, height, width)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    start = torch.arange(count, device=images.device)[:, None] * (height * width)
    places = (start + rows * width + columns).masked_fill_(~inside, 0)
    found = images.reshape(-1, channels).index_select(0, places.view(-1)) * inside.view(-1, 1)
    return found.view(count, height, width, channels)


def _sources(matrices: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Column and row that each pixel comes from, int64 (n, height * width) each.  The steps and their rounding are
    those of torchvision's grid and of torch's ``grid_sample``."""
    places = torch.ones(height, width, 3, device=matrices.device)
    places[..., 0] = torch.linspace((1.0 - width) * 0.5, (width - 1.0) * 0.5, width, device=matrices.device)
    places[..., 1] = torch.linspace((1.0 - height) * 0.5, (height - 1.0) * 0.5, height, device=matrices.device)[:, None]
    sides = torch.tensor([width, height], dtype=torch.float32, device=matrices.device)
    grid = places.view(1, -1, 3) @ (matrices.transpose(1, 2) / (0.5 * sides))
    found = ((grid + 1) * sides - 1).mul_(0.5).round_().to(torch.int64)
    return found[..., 0], found[..., 1]
