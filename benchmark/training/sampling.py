"""Which training images an epoch shows, and when: a function of (seed, epoch), so that no sampler has a state."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.run import Run
from benchmark.training.data import epoch_generator, epoch_order


def order_of(run: Run, labels: Tensor, epoch: int) -> Tensor:
    """Indices of images, int64 (n,), for the ``labels`` (n,) of all.

    ``shuffle``: each image once.  ``balanced``: as many draws with replacement, in which every class that has images
    is equally likely.
    """
    if run.sampling == "shuffle":
        return epoch_order(len(labels), run.seed, epoch)
    counts = torch.bincount(labels)
    weights = 1 / counts[labels].double()
    return torch.multinomial(weights, len(labels), True, generator=epoch_generator(run.seed, epoch, "order"))
