"""Multiply-adds of one image's forward pass, counted by ``torch.utils.flop_counter``.

Convolutions and matrix products count, attention's included; element-wise work, normalisation and pooling do not, as
is usual.  The count runs on the meta device, where tensors have shapes but no values: it costs no arithmetic and does
not depend on which fused kernel a device would choose (the counter knows only some of them).
"""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_macs(model: nn.Module, image_size: int, channels: int) -> int:
    """Multiply-adds for one image of (channels, image_size, image_size) in evaluation mode.

    ``model`` may be on any device; it is left as it was.
    """
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    shapes = {name: tensor.detach().to("meta") for name, tensor in tensors}
    modes = {module: module.training for module in model.modules()}
    image = torch.empty(1, channels, image_size, image_size, device="meta")
    counter = FlopCounterMode(display=False)
    try:
        model.eval()
        with torch.no_grad(), torch.device("meta"), sdpa_kernel(SDPBackend.MATH), counter:
            torch.func.functional_call(model, shapes, image)
    finally:
        for module, training in modes.items():
            module.training = training
    return int(counter.get_total_flops()) // 2
