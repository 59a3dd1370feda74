"""Whether ``torch.compile`` makes a network's steps, and of which network.

By itself (``compile: auto``) only on CUDA and in runs of 2,000 steps or more: compiling takes half a minute to some
minutes.  On CPUs compiled steps were slower than eager ones (``docs/performance.md``), so that there ``always`` has to
be said.  Evaluation is never compiled, since its last batch has another size.
"""

from __future__ import annotations

import torch
from torch import nn

from benchmark.run import Run

LEAST_STEPS = 2000


def compiled(network: nn.Module, run: Run, steps: int, device: torch.device) -> nn.Module:
    """The network that training calls, of ``steps`` steps an epoch; weights are those of ``network``."""
    if not wanted(run, steps, device):
        return network
    faster: nn.Module = torch.compile(network)  # type: ignore[assignment]
    return faster


def wanted(run: Run, steps: int, device: torch.device) -> bool:
    """Whether to compile."""
    if run.compile == "auto":
        return device.type == "cuda" and run.epochs * steps >= LEAST_STEPS
    return run.compile == "always"
