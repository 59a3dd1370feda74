"""Mixup and CutMix of whole batches: each image also shows another one of its portion, and learns both labels.

Mixup (Zhang et al., *mixup: Beyond Empirical Risk Minimization*, ICLR 2018) adds the images in the proportion λ : 1 -
λ; CutMix (Yun et al., ICCV 2019) puts a rectangle of one into the other, whose share of the area is 1 - λ.  λ is drawn
from Beta(α, α) once a batch.  Where a run asks for both, each batch gets one of them, with equal probability.  The
partner of the i-th image is the i-th last, as in timm.  The loss is λ times that of the image's own label plus 1 - λ
times that of its partner's, which for cross-entropy equals that of the mixed labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Generator, Tensor

from benchmark.run import Run

_LARGEST = 2**62


@dataclass(frozen=True)
class Mix:
    """``partners`` int64 (n,): the labels of what the images also show; ``kept``: the share of an image's own."""

    partners: Tensor
    kept: float


Mixing = Callable[[Tensor, Tensor, Generator], tuple[Tensor, Mix]]


def mixing(run: Run) -> Mixing | None:
    """What ``run`` asks for; it takes normalised images (n, channels, height, width), their labels (n,) and a
    generator on the CPU, and gives the mixed images."""
    return partial(_mix, mixup=run.mixup, cutmix=run.cutmix) if run.mixup or run.cutmix else None


def _mix(images: Tensor, labels: Tensor, generator: Generator, *, mixup: float, cutmix: float) -> tuple[Tensor, Mix]:
    random = np.random.default_rng(int(torch.randint(_LARGEST, (), generator=generator)))
    cuts = bool(cutmix) and (not mixup or random.random() < 0.5)
    alpha = cutmix if cuts else mixup
    kept = float(random.beta(alpha, alpha))
    partners = images.flip(0)
    if cuts:
        images, kept = _paste(images, partners, kept, random)
    else:
        images = images * kept + partners * (1 - kept)
    return images, Mix(labels.flip(0), kept)


def _paste(images: Tensor, partners: Tensor, kept: float, random: np.random.Generator) -> tuple[Tensor, float]:
    """The mixed images, and what is kept of their own after cutting the rectangle at the borders."""
    height, width = images.shape[2:]
    rows = _interval(height, math.sqrt(1 - kept), random)
    columns = _interval(width, math.sqrt(1 - kept), random)
    mixed = images.clone()
    mixed[:, :, rows, columns] = partners[:, :, rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - area / (height * width)


def _interval(side: int, share: float, random: np.random.Generator) -> slice:
    """About a uniformly drawn centre, cut at the borders."""
    centre, half = int(random.integers(side)), int(side * share) // 2
    return slice(max(0, centre - half), min(side, centre + half))
