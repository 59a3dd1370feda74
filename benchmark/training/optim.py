"""Criterion, optimizer and learning-rate schedule by name.

Optimizers come from ``timm.optim`` (weight decay leaves out norms and biases), schedules from ``timm.scheduler``, the
one-cycle schedule from torch.  Schedules advance once an optimizer step.
"""

from __future__ import annotations

import difflib
import inspect
import re
from typing import Any, Protocol

import torch
from timm.optim._optim_factory import create_optimizer_v2, get_optimizer_class, list_optimizers
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.scheduler.scheduler import Scheduler
from timm.scheduler.step_lr import StepLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from benchmark.run import Run
from benchmark.training.groups import parameter_groups, peak_rates

_GIVEN = {"params", "model_or_params", "opt", "lr", "weight_decay", "momentum", "param_group_fn"}
"""Arguments of timm's that are keys of their own here, or no values for a file."""


class OptimError(ValueError):
    """An optimizer that cannot be made from the run's keys; the message names the key."""


class Schedule(Protocol):
    """What sets the learning rate."""

    def advance(self) -> None:
        """After an optimizer step: sets the learning rate of the next."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Criterion(nn.Module):
    """Cross-entropy with label smoothing, or focal loss (Lin et al. 2017), averaged over the batch.

    Args:
        weights: (classes,) float32, one weight a class, or ``None``.
    """

    def __init__(self, run: Run, weights: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.smoothing = run.label_smoothing
        self.gamma = run.focal_gamma if run.criterion == "focal" else 0.0

    def forward(self, logits: Tensor, labels: Tensor, scale: Tensor | None = None) -> Tensor:
        """The mean over the batch, or the sum of each image's loss times its ``scale`` (float32, n)."""
        if scale is not None:
            return (self._each(logits, labels) * scale).sum()
        if self.gamma:
            return self._each(logits, labels).mean()
        return F.cross_entropy(logits, labels, self._weights, label_smoothing=self.smoothing)

    def scale(self, labels: Tensor) -> Tensor:
        """With what the losses of a whole batch's images are multiplied so that their sum is the mean: (n,) float32.
        Torch's mean is over the classes' weights, where there are any, that of the focal loss over the images."""
        weights = self._weights
        if weights is None or self.gamma:
            return torch.full((len(labels),), 1 / len(labels), device=labels.device)
        return (1 / weights[labels].sum()).expand(len(labels))

    @property
    def _weights(self) -> Tensor | None:
        return self.get_buffer("weights") if self.weights is not None else None

    def _each(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss = F.cross_entropy(logits, labels, self._weights, label_smoothing=self.smoothing, reduction="none")
        if not self.gamma:
            return loss
        truth = logits.softmax(1).gather(1, labels[:, None])[:, 0]
        return (1 - truth).clamp_min(0) ** self.gamma * loss


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """Inverse class frequency, (classes,) float32 with mean 1 over the samples; absent classes weigh 0."""
    counts = torch.bincount(labels, minlength=classes)
    present = counts > 0
    return torch.where(present, len(labels) / (counts.clamp_min(1) * present.sum()), 0.0).float()


def make_criterion(run: Run, labels: Tensor, classes: int) -> Criterion:
    """The training loss that ``run`` names, its class weights taken from the training labels."""
    weights = balanced_weights(labels, classes) if run.class_weights == "balanced" else None
    return Criterion(run, weights)


def make_optimizer(run: Run, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that ``run`` names.

    Raises:
        OptimError: timm does not know the name, or the optimizer refuses an argument.
    """
    known = [str(name) for name in list_optimizers()]
    if run.optimizer.lower() not in known:
        raise OptimError(f"optimizer: timm.optim has no {run.optimizer!r}; it has {', '.join(known)}")
    arguments: dict[str, Any] = {"lr": run.lr, "weight_decay": run.weight_decay, "momentum": run.momentum}
    try:
        parameters = parameter_groups(run, model) or model
        return create_optimizer_v2(parameters, opt=run.optimizer.lower(), **arguments, **run.optimizer_args)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise OptimError(f"optimizer_args: {_explained(error, run.optimizer)}") from error


def make_schedule(run: Run, optimizer: torch.optim.Optimizer, steps_per_epoch: int) -> Schedule:
    """The schedule that ``run`` names, over ``run.epochs × steps_per_epoch`` optimizer steps."""
    total = run.epochs * steps_per_epoch
    if run.schedule == "onecycle":
        peaks = peak_rates(run, optimizer.param_groups)
        cycled = bool({"momentum", "betas"} & set(optimizer.defaults))
        return _OneCycle(OneCycleLR(optimizer, peaks, total_steps=total, cycle_momentum=cycled))
    warmup = min(round(run.warmup_epochs * steps_per_epoch), total - 1)
    common: dict[str, Any] = {
        "warmup_t": warmup,
        "warmup_lr_init": run.lr / (warmup + 1),
        "warmup_prefix": True,
        "t_in_epochs": False,
    }
    if run.schedule == "cosine":
        return _Timm(CosineLRScheduler(optimizer, t_initial=total - warmup, lr_min=run.min_lr, **common))
    decay = (total, 1.0) if run.schedule == "constant" else (_steps(run, steps_per_epoch), run.decay_rate)
    return _Timm(StepLRScheduler(optimizer, decay_t=decay[0], decay_rate=decay[1], **common))


def _steps(run: Run, steps_per_epoch: int) -> int:
    return max(1, round(run.decay_epochs * steps_per_epoch))


def _explained(error: Exception, optimizer: str) -> str:
    if found := re.search(r"unexpected keyword argument '(\w+)'", str(error)):
        valid = _arguments(optimizer.lower())
        near = difflib.get_close_matches(found[1], valid, 1)
        guess = f"; did you mean {near[0]!r}?" if near else ""
        return f"{optimizer} has no argument {found[1]!r}{guess}; it has {', '.join(valid)}"
    if found := re.search(r"multiple values for .*argument '(\w+)'", str(error)):
        return f"{found[1]!r} may not stand here; {found[1]} is a key of its own"
    return f"{optimizer} refuses its arguments: {error}"


def _arguments(optimizer: str) -> tuple[str, ...]:
    """What ``optimizer_args`` may have, as far as the constructor tells."""
    makers = (get_optimizer_class(optimizer, bind_defaults=False), create_optimizer_v2)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = (each for maker in makers for each in inspect.signature(maker).parameters.values() if each.kind in kinds)
    return tuple(sorted({each.name for each in found} - _GIVEN))


class _Timm:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._step = 0

    def advance(self) -> None:
        self._step += 1
        self._scheduler.step_update(self._step)

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._step, "scheduler": self._scheduler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._step = state["step"]
        self._scheduler.load_state_dict(state["scheduler"])


class _OneCycle:
    def __init__(self, scheduler: OneCycleLR) -> None:
        self._scheduler = scheduler

    def advance(self) -> None:
        self._scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        return dict(self._scheduler.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._scheduler.load_state_dict(state)
