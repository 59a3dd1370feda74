"""A trained network with its preprocessing, as it leaves the house.

    network = Portable.of(run, data, model)
    probabilities, log_probabilities = network(images)     # uint8 (n, height, width, channels), as a file is decoded

Inside, pixels become floats by the run's own mean and deviation, as in training.  Weights are those of the best epoch,
from ``model.safetensors``, in float32 on the CPU; a run with ``test_flip`` averages each image with its mirror image
here too, so that the answers are those of the run's own predictions.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.training.data import PreparedData, normalisation
from benchmark.training.outset import make_model
from benchmark.weights import sha256

CPU = torch.device("cpu")
REMEDY = "remove the run with `rm` and run again"


class WrongWeights(Exception):
    """The weights cannot be read, or are of another network."""


class Portable(nn.Module):
    """uint8 (n, height, width, channels) -> probabilities and their logarithms, float32 (n, classes) both.

    ``mean`` and ``std`` (channels,), in units where white is 1, become 0 and 1.
    """

    scale: Tensor
    bias: Tensor

    def __init__(self, model: nn.Module, mean: Tensor, std: Tensor, *, flip: bool) -> None:
        super().__init__()
        self.model, self.flip = model, flip
        mean, std = mean.double(), std.double()
        self.register_buffer("scale", (1 / (255 * std)).float())
        self.register_buffer("bias", (-mean / std).float())

    @classmethod
    def of(cls, run: Run, data: PreparedData, model: nn.Module) -> Portable:
        """``model`` with the preprocessing of ``run``, in evaluation mode."""
        mean, std = normalisation(run, data)
        return cls(model, mean, std, flip=run.test_flip).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        pixels = torch.addcmul(self.bias, images.float(), self.scale).permute(0, 3, 1, 2)
        found = torch.log_softmax(self.model(pixels), dim=1)
        if self.flip:
            mirrored = torch.log_softmax(self.model(pixels.flip(3)), dim=1)
            found = torch.logsumexp(torch.stack((found, mirrored)), dim=0) - math.log(2)
        return found.exp(), found


def trained(run: Run, data: PreparedData, rundir: RunDir) -> nn.Module:
    """The network of ``run`` with the weights that its job has left, on the CPU.

    Raises:
        WrongWeights: the file is unreadable, not the one that the job wrote, or holds other tensors than the network.
        BrokenFile: the result cannot be read.
    """
    plain = dataclasses.replace(run, sync_batchnorm=False, memory_format="contiguous")
    model = make_model(plain, data, CPU)
    try:
        model.load_state_dict(load_file(own_weights(rundir)))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WrongWeights(f"{rundir.model}: not the weights of this network: {error}") from error
    return model


def own_weights(rundir: RunDir) -> Path:
    """The file of the weights, which is the one that the job wrote.

    Raises:
        WrongWeights: it is another, or not whole.
        BrokenFile: the result cannot be read.
    """
    result = rundir.read_result()
    if result and result.weights not in ("", sha256(rundir.model)):
        raise WrongWeights(f"{rundir.model}: not the file that the run wrote (its SHA-256 differs); {REMEDY}")
    return rundir.model
