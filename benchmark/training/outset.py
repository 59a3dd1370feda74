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
from benchmark.training.models import build, regularisation
from benchmark.training.precision import allow_tf32

_FORMATS = {"channels_last": "channels_last", "contiguous": "contiguous_format"}


def set_up(run: Run) -> None:
    """Threads, seeds and determinism; before anything is computed."""
    torch.set_num_threads(run.threads)
    torch.set_flush_denormal(True)
    random.seed(run.seed)
    np.random.seed(run.seed)
    torch.manual_seed(run.seed)
    allow_tf32(run.precision)
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
    arguments = {**run.model_args, **regularisation(run)}
    model = build(run.model, arguments, *shape(data), len(data.classes)).to(device)
    if run.sync_batchnorm:
        if device.type != "cuda":
            raise DeviceMissing(f"sync_batchnorm: torch has it for GPUs only, this run trains on {device.type}")
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return model.to(memory_format=getattr(torch, _FORMATS[run.memory_format]))


def shape(data: PreparedData) -> tuple[int, int]:
    """Height and width of the images, and their channels."""
    return int(data.train.images.shape[1]), int(data.train.images.shape[3])
