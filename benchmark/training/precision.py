"""The numbers that a network computes with while it learns; weights, optimizer and evaluation stay float32.

``fp32`` is IEEE single precision, also on GPUs that would round to TF32 by themselves; ``tf32`` lets them.  ``bf16``
and ``fp16`` run the forward pass under torch's autocast; ``fp16`` scales the loss, since small gradients would become
0 (Micikevicius et al., *Mixed Precision Training*, ICLR 2018).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch.amp import GradScaler, autocast

from benchmark.run import Precision as Name

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """Of the steps of training on one kind of device.

    ``scaler`` multiplies losses and divides gradients; other than for ``fp16`` it does nothing.
    """

    name: Name
    device: torch.device
    scaler: GradScaler

    @classmethod
    def of(cls, name: Name, device: torch.device) -> Precision:
        return cls(name, device, GradScaler(device.type, enabled=name == "fp16"))

    def forward(self) -> AbstractContextManager[Any]:
        """Around the forward pass and the loss."""
        return autocast(self.device.type, _HALF.get(self.name, torch.bfloat16), enabled=self.name in _HALF)


def allow_tf32(name: Name) -> None:
    """For matrix products and convolutions of float32 on GPUs."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name != "fp32"
