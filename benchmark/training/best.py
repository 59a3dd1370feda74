"""Which epoch was the best by validation, and its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from benchmark.records import Event
from benchmark.training.checkpoint import State

LOWER_IS_BETTER = frozenset({"val/log_loss"})


@dataclass
class Best:
    """The best epoch by validation so far, and a copy of its weights."""

    metric: str
    epoch: int = 0
    value: float = -math.inf
    log_loss: float = math.inf
    weights: dict[str, Tensor] | None = None

    def consider(self, event: Event, model: nn.Module) -> None:
        """Keeps the weights when the epoch is better; equal values are told apart by log loss, then the earlier."""
        value, log_loss = event.metrics[self.metric], event.metrics["val/log_loss"]
        if value is not None and log_loss is not None:
            self._compare(event.epoch, value, log_loss, model)

    def _compare(self, epoch: int, value: float, log_loss: float, model: nn.Module) -> None:
        signed = -value if self.metric in LOWER_IS_BETTER else value
        if (signed, -log_loss) > (self.value, -self.log_loss):
            self.epoch, self.value, self.log_loss = epoch, signed, log_loss
            self.weights = {name: each.detach().clone() for name, each in model.state_dict().items()}

    def waited(self, epoch: int) -> int:
        """How many epochs up to this one brought nothing better."""
        return epoch - self.epoch

    def state_dict(self, epoch: int | None) -> State:
        """For the checkpoint of ``epoch``; where that is the best epoch, its weights are the checkpoint's own.
        ``None``: for one within an epoch."""
        weights = None if self.epoch == epoch else self.weights
        return {"epoch": self.epoch, "value": self.value, "log_loss": self.log_loss, "weights": weights}

    def load_state_dict(self, state: State, model: State) -> None:
        """``model`` is the evaluated network's state in the same checkpoint."""
        self.epoch, self.value, self.log_loss = state["epoch"], state["value"], state["log_loss"]
        self.weights = state["weights"] or (model if self.epoch else None)
