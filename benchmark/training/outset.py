"""What stands before anything is computed: threads, seeds, the device, the network."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import numpy.ctypeslib
import numpy.ma  # these two are imported by numpy and torch at first use, in every job
import torch
from torch import nn

from benchmark.run import Run
from benchmark.training.data import Normalize, PreparedData, normalisation
from benchmark.training.failures import DeviceMissing
from benchmark.training.models import build, regularisation
from benchmark.training.precision import allow_tf32
from benchmark.training.pretrained import load_weights
from benchmark.training.statedict import WeightsError

_FORMATS = {"channels_last": "channels_last", "contiguous": "contiguous_format"}


def set_up(run: Run) -> None:
    """Threads, seeds and determinism; before anything is computed."""
    torch.set_num_threads(run.threads)
    torch.set_flush_denormal(True)
    random.seed(run.seed)
    np.random.seed(run.seed)
    _seed(run.seed)
    allow_tf32(run.precision)
    if run.device != "cpu" and torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def _seed(seed: int) -> None:
    """``torch.manual_seed``, which for devices that are not there only remembers who has called, in 5 ms."""
    (torch if torch.accelerator.is_available() else torch.default_generator).manual_seed(seed)


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
    """The network that ``run`` names, fresh from the run's seed, whether or not it is to be pretrained."""
    _seed(run.seed)
    arguments = {**run.model_args, **regularisation(run)}
    model = build(run.model, arguments, *shape(data), len(data.classes)).to(device)
    if run.sync_batchnorm:
        if device.type != "cuda":
            raise DeviceMissing(f"sync_batchnorm: torch has it for GPUs only, this run trains on {device.type}")
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return model.to(memory_format=getattr(torch, _FORMATS[run.memory_format]))


def pretrain(run: Run, model: nn.Module, weights: Path | None) -> None:
    """Writes the weights that ``run`` names, if it names any, into its network.

    Raises:
        WeightsError: they are not in ``weights``, or do not fit.
    """
    if not run.weights_digest:
        return
    if weights is None:
        raise WeightsError("the run wants pretrained weights, and the job has no channel 'weights'")
    load_weights(model, weights, run.weights_digest)


def make_normalize(run: Run, data: PreparedData, device: torch.device) -> Normalize:
    """What makes float images: by the run's mean and deviation, else by those of the training images."""
    mean, std = normalisation(run, data)
    return Normalize(mean, std, device)


def shape(data: PreparedData) -> tuple[int, int]:
    """Height and width of the images, and their channels."""
    return int(data.train.images.shape[1]), int(data.train.images.shape[3])
