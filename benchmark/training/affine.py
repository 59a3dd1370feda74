"""Shears, shifts and turns of images, a matrix for each image.

A matrix, float32 (2, 3), takes a place (x, y, 1), in pixels from the centre of the image, to the place that its pixel
comes from; what comes from outside is 0.  As in torchvision, the nearest pixel is taken.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

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


def grids(matrices: Tensor, height: int, width: int) -> Tensor:
    """Where the pixels come from, as ``grid_sample`` wants it: (n, height, width, 2) for ``matrices`` (n, 2, 3)."""
    places = torch.ones(height, width, 3, device=matrices.device)
    places[..., 0] = torch.linspace((1.0 - width) * 0.5, (width - 1.0) * 0.5, width, device=matrices.device)
    places[..., 1] = torch.linspace((1.0 - height) * 0.5, (height - 1.0) * 0.5, height, device=matrices.device)[:, None]
    scaled = matrices.transpose(1, 2) / torch.tensor([0.5 * width, 0.5 * height], device=matrices.device)
    return (places.view(1, -1, 3) @ scaled).view(-1, height, width, 2)


def moved(images: Tensor, grid: Tensor) -> Tensor:
    """uint8 (n, channels, height, width)."""
    found = grid_sample(images.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return found.round_().to(torch.uint8)
