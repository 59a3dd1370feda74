"""What a run asks of a machine, from what is known of its model and data, before any run has finished.

Time is the sum of three rates, fitted to 21 runs of 14 networks on one core: arithmetic (multiply-adds), memory
traffic (activations), the optimizer (parameters).  That core is not yours; what counts is how runs compare.

Memory is what the process holds for itself, on the CPU: weights, gradients, the best epoch's copy, the optimizer's
states, activations.  The decoded images are left out: all processes share them, and the kernel may drop them.

A run of several processes divides arithmetic and memory traffic among them, where each has cores of its own; each holds
the weights, and after each step they exchange the gradients.

On a GPU weights and activations, and the images, are in its own memory: :meth:`Effort.on_gpu`.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Literal

from benchmark.catalogue import ModelFacts
from benchmark.data.datasets import DataFacts
from benchmark.run import Run

START_SECONDS = 0.25
MACS_PER_SECOND, ACTIVATIONS_PER_SECOND, UPDATES_PER_SECOND = 3.3e10, 1.4e8, 5.7e7
TEAM_SECONDS, EXCHANGED_PER_SECOND = 8.0, 1.0e8
"""To start the processes of a team, and gradients that it exchanges on one machine."""
FORWARD_SHARE = 1 / 3
"""Of a training step: evaluation needs no backward pass."""

BASE = 740 * 2**20
"""Bytes of a process that has imported torch (a build for CUDA, the largest) and trains a tiny network."""
FLOAT = 4
SLACK = 1.25
"""Work space of the kernels, and what the allocator cannot use: jobs of 19 networks took 0.9 to 1.5 times the sum, or
some 40 MiB more than it where that is small."""
CHECKPOINTS = 3
"""Two are kept while the next is written."""
NAME_BYTES, SMALL_FILES = 160, 256 * 1024
"""Of an image's id in the predictions; of logs, curves and figures' data, and of what grows with the classes."""

_STATES = tuple(
    (states, re.compile(pattern))
    for states, pattern in (
        (5, r"kron"),
        (4, r"c?adan"),
        (3, r"c?mars|madgrad"),
        (1, r"(n|c|fused|bnb)?(sgd|lar[cs]|lion|muon|novograd|adagrad|adafactor)|momentum|nesterov"),
    )
)


Basis = Literal["probe", "rough"]


@dataclass(frozen=True)
class Effort:
    """Expected of one run: multiply-adds (of training, forward passes only), seconds, bytes of memory without those of
    an idle process, bytes of decoded images, bytes on disk at most and in the end.

    ``basis`` says where the seconds come from: ``probe``, steps measured on this machine, or ``rough``, a common core.
    ``corrected`` is the factor that is in them, from experience.  ``steps`` and ``evaluated`` (images of one process)
    are what a probe is multiplied with; ``fixed`` are the seconds that no probe measures.
    """

    macs: float
    seconds: float
    memory: int
    images: int
    disk: int
    disk_kept: int
    steps: int = 0
    evaluated: int = 0
    fixed: float = START_SECONDS
    basis: Basis = "rough"
    corrected: float = 1.0

    def probed(self, step: float, image: float) -> Effort:
        """By the seconds that a training step and one image's evaluation took."""
        seconds = self.fixed + self.steps * step + self.evaluated * image
        return dataclasses.replace(self, seconds=seconds, basis="probe", corrected=1.0)

    def on_gpu(self, processes: int) -> int:
        """Bytes of tensors on each GPU of a run of so many processes: what it would hold in the host's memory."""
        return (self.memory - BASE * (processes if processes > 1 else 0)) // processes + self.images

    def times(self, factor: float) -> Effort:
        """So much slower."""
        return dataclasses.replace(self, seconds=self.seconds * factor, corrected=self.corrected * factor)

    @classmethod
    def of(cls, run: Run, model: ModelFacts, data: DataFacts) -> Effort:
        """The effort of ``run``, whose network is ``model`` and whose images are ``data``."""
        assert run.image_size is not None
        assert run.channels is not None
        if run.probes:
            return cls._of_probe(run, model, data)
        kept = _files(run, model, data)
        checkpoint = FLOAT * model.parameters * (2 + optimizer_states(run))
        return cls(
            macs=float(model.macs * data.sizes["train"] * run.epochs),
            seconds=_seconds(run, model, data),
            memory=_memory(run, model, data),
            images=sum(data.sizes.values()) * run.channels * run.image_size**2,
            disk=kept + min(CHECKPOINTS, run.epochs) * checkpoint,
            disk_kept=kept,
            steps=run.epochs * -(-data.sizes["train"] // run.batch_size),
            evaluated=((run.epochs + 1) * data.sizes["val"] + data.sizes["test"]) // run.processes,
            fixed=START_SECONDS + _together(run, model, data),
        )

    @classmethod
    def _of_probe(cls, run: Run, model: ModelFacts, data: DataFacts) -> Effort:
        """A linear probe sees each image once, and keeps no state of the network but the weights; what its classifier
        takes is nothing beside that.  Where its features are kept already it takes less."""
        whole = cls.of(dataclasses.replace(run, freeze="none", epochs=1), model, data)
        images = sum(data.sizes.values())
        seconds = images * FORWARD_SHARE * (model.macs / MACS_PER_SECOND + model.activations / ACTIVATIONS_PER_SECOND)
        return dataclasses.replace(
            whole, macs=float(model.macs * images), seconds=whole.fixed + seconds, steps=0, evaluated=images
        )


def optimizer_states(run: Run) -> int:
    """How many numbers the run's optimizer keeps for each parameter, rounded up."""
    name = run.optimizer.lower()
    if not run.momentum and name in ("momentum", "lars", "larc"):
        return 0
    return next((states for states, pattern in _STATES if pattern.match(name)), 2)


def _seconds(run: Run, model: ModelFacts, data: DataFacts) -> float:
    train, val, test = (data.sizes[name] for name in ("train", "val", "test"))
    images = run.epochs * (train + FORWARD_SHARE * val) + FORWARD_SHARE * (val + test)
    steps = run.epochs * -(-train // run.batch_size)
    passes = images * (model.macs / MACS_PER_SECOND + model.activations / ACTIVATIONS_PER_SECOND)
    alone = passes / run.processes + steps * model.parameters / UPDATES_PER_SECOND
    return START_SECONDS + alone + _together(run, model, data)


def _together(run: Run, model: ModelFacts, data: DataFacts) -> float:
    """Seconds that a team needs for being one."""
    if run.processes == 1:
        return 0.0
    steps = run.epochs * -(-data.sizes["train"] // run.batch_size)
    return TEAM_SECONDS + steps * model.parameters / EXCHANGED_PER_SECOND


def _memory(run: Run, model: ModelFacts, data: DataFacts) -> int:
    """Bytes of all processes but for the first one's :data:`BASE`; in a team two more wait for those that train."""
    one = SLACK * FLOAT * (_weights(run, model) + _activations(run, model, data))
    waiting = BASE if run.processes > 1 else 0
    return round(run.processes * one) + (run.processes - 1) * BASE + waiting


def _weights(run: Run, model: ModelFacts) -> int:
    """Values: the weights, their gradients, the best epoch's, the optimizer's."""
    return model.parameters * (3 + optimizer_states(run))


def _activations(run: Run, model: ModelFacts, data: DataFacts) -> int:
    """Values: a training step keeps what it needs for its backward pass, which holds two gradients at a time; an
    evaluation step holds what goes into an operation, what comes out, and perhaps a branch beside it."""
    batch = min(run.share, data.sizes["train"])
    evaluated = min(run.eval_batch_size, max(data.sizes["val"], data.sizes["test"]))
    return max(batch * (model.activations + 2 * model.widest), evaluated * 3 * model.widest)


def _files(run: Run, model: ModelFacts, data: DataFacts) -> int:
    """Bytes that stay: the model, a row for each predicted image, what the figures are drawn from."""
    classes = len(data.classes)
    rows = (data.sizes["val"] + data.sizes["test"]) * (FLOAT * classes + 8 + NAME_BYTES)
    drawn = 2 * classes * (10_000 + 8 * classes) + 1000 * run.epochs
    return FLOAT * model.parameters + rows + drawn + SMALL_FILES
