"""A backbone that does not learn, for the first epochs or for ever."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from benchmark.run import Run
from benchmark.training.heads import head_modules, in_head


@dataclass(frozen=True)
class Freezing:
    """Keeps all but the classifier of ``model`` as it is in the epochs up to ``last``: no gradients, and evaluation
    mode, in which batch normalisation takes and keeps its running statistics and nothing is dropped.

    What it does depends on the number of the epoch alone, so that a run that goes on after its death needs no more.
    """

    model: nn.Module
    last: float

    @classmethod
    def of(cls, run: Run, model: nn.Module) -> Freezing:
        """As ``run`` wants it."""
        until = math.inf if run.unfreeze_epoch is None else run.unfreeze_epoch
        return cls(model, until if run.freeze == "backbone" else 0)

    def begin(self, epoch: int) -> None:
        """Once the model is in training mode: what this epoch (from 1) leaves out of it."""
        if not self.last:
            return
        frozen, head = epoch <= self.last, in_head(self.model)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in head or not frozen)
        if frozen:
            self.model.eval()
            for each in head_modules(self.model):
                each.train()
