"""How many numbers a training pass keeps for its backward pass, found on the meta device, where nothing is computed.

Autograd itself says what it keeps (``torch.autograd.graph.saved_tensors_hooks``).  A storage that several operations
keep counts once, parameters and buffers do not count.  Attention is counted as the meta device computes it; the kernel
of a real device may keep somewhat less.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, UntypedStorage, nn

BATCH = 2
"""Batch normalisation cannot train with one image."""
FLOAT_BYTES = 4


def count_activations(model: nn.Module, image_size: int, channels: int) -> tuple[int, int]:
    """Of one image of (channels, image_size, image_size): all values kept, and those of the largest tensor.

    Both are in units of a float32, so that a mask of bytes counts a quarter.  ``model`` is on the meta device and is
    left in training mode.
    """
    known = {_address(each) for each in itertools.chain(model.parameters(), model.buffers())}
    kept: dict[int, UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        # The storages are held until the end: the address of one that is gone could be given to another.
        if _address(tensor) not in known:
            kept[_address(tensor)] = tensor.untyped_storage()
        return tensor

    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()(torch.empty(BATCH, channels, image_size, image_size))
    values = [each.nbytes() / FLOAT_BYTES / BATCH for each in kept.values()]
    return round(sum(values)), round(max(values, default=0))


def _address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
