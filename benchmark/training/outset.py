"""What stands before anything is computed: threads, seeds, the device, the network."""

from __future__ import annotations

import os
import random

import numpy as np
import numpy.ctypeslib
import numpy.ma  # these two are imported by numpy and torch at first use, in every job
import torch
from torch import nn

from benchmark.run import Run
from benchmark.training.data import PreparedData
from benchmark.training.failures import DeviceMissing
from benchmark.training.models import build


def set_up(run: Run) -> None:
    """Threads, seeds and determinism; before anything is computed."""
    torch.set_num_threads(run.threads)
    torch.set_flush_denormal(True)
    random.seed(run.seed)
    np.random.seed(run.seed)
    torch.manual_seed(run.seed)
    if run.device != "cpu" and torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def choose_device(name: str) -> torch.device:
    """``auto`` is cuda, else mps, else cpu.

    Raises:
        DeviceMissing: the device that was asked for is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(each for each, there in available.items() if there)
    if not available[name]:
        raise DeviceMissing(f"device: {name} is not available on this machine; use device: auto")
    return torch.device(name)


def make_model(run: Run, data: PreparedData, device: torch.device) -> nn.Module:
    """The network that ``run`` names, fresh from the run's seed."""
    torch.manual_seed(run.seed)
    model = build(run.model, run.model_args, *shape(data), len(data.classes))
    return model.to(device).to(memory_format=torch.channels_last)


def shape(data: PreparedData) -> tuple[int, int]:
    """Height and width of the images, and their channels."""
    return int(data.train.images.shape[1]), int(data.train.images.shape[3])
