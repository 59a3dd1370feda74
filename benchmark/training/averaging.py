"""The exponential moving average of a network's weights, which is evaluated and kept in place of the last weights.

The average of step t is ``d`` times that before, plus ``1 - d`` times the weights, where d rises towards ``ema_decay``
(timm's ``ModelEmaV3`` with its warm-up), so that short runs are not averages of their random beginning.
"""

from __future__ import annotations

from typing import Protocol

from timm.utils.model_ema import ModelEmaV3
from torch import nn

from benchmark.training.checkpoint import State


class Average(Protocol):
    """What training asks of whoever averages its weights."""

    def evaluated(self, model: nn.Module) -> nn.Module:
        """The network that is evaluated in place of ``model``."""
        ...

    def update(self, model: nn.Module) -> None:
        """After an optimizer step."""
        ...

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: State) -> None: ...


class NoAverage:
    """The last weights are the weights."""

    def evaluated(self, model: nn.Module) -> nn.Module:
        return model

    def update(self, model: nn.Module) -> None:
        pass

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, state: State) -> None:
        pass


class MovingAverage:
    """The average of ``model``'s weights and buffers, which begins as a copy of them."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._average = ModelEmaV3(model, decay=decay, use_warmup=True)
        self._steps = 0

    def evaluated(self, model: nn.Module) -> nn.Module:
        network: nn.Module = self._average.module
        return network

    def update(self, model: nn.Module) -> None:
        self._steps += 1
        self._average.update(model, self._steps)

    def state_dict(self) -> State:
        return {"steps": self._steps, "model": self._average.module.state_dict()}

    def load_state_dict(self, state: State) -> None:
        self._steps = state["steps"]
        self._average.module.load_state_dict(state["model"])


def average_of(model: nn.Module, decay: float) -> Average:
    """``decay`` 0: none."""
    return MovingAverage(model, decay) if decay else NoAverage()
