"""The training loop: epochs over batches cut from memory, validation after each, the best epoch's weights kept.

The order of images and their augmentation are functions of (seed, epoch); all other state, the random generators'
included, is in the checkpoint after each epoch.  So an interrupted run goes on where it stopped and ends bit by bit
where an undisturbed one ends.

Several processes (:mod:`benchmark.training.team`) make the same steps, each with its share of every batch: loss,
gradient and metrics are those of the whole batch, to within rounding.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.run import Run
from benchmark.rundir import Event
from benchmark.training import random_state
from benchmark.training.best import Best
from benchmark.training.checkpoint import Checkpoint, State
from benchmark.training.checkpoints import Keeper, NoCheckpoints
from benchmark.training.data import Normalize, PreparedData, Split, steps_per_epoch
from benchmark.training.evaluate import predict_together
from benchmark.training.freezing import Freezing
from benchmark.training.metrics import cheap_scores
from benchmark.training.models import AUX_WEIGHT
from benchmark.training.optim import Criterion, Schedule, make_criterion, make_optimizer, make_schedule
from benchmark.training.portions import Portion, Portions
from benchmark.training.team import Alone, Team

CHECK_EVERY = 50
"""Steps between looks at the losses: each look waits for the device."""


class Diverged(ArithmeticError):
    """The loss, or an output of the network, is no longer a finite number."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


@dataclass(frozen=True)
class Trained:
    """The end of training: the network holds the weights of ``best_epoch``; ``seconds`` is the wall time of the epochs'
    training parts, validation left out."""

    best_epoch: int
    epochs: int
    seconds: float
    images: int


def train(
    run: Run,
    data: PreparedData,
    model: nn.Module,
    normalize: Normalize,
    on_epoch: Callable[[Event], None],
    checkpoints: Keeper | None = None,
    team: Team | None = None,
) -> Trained:
    """Trains ``model`` in place and leaves in it the weights of the best epoch by validation.

    Args:
        run: every hyperparameter.
        data: decoded images; only its training and validation splits are looked at.
        model: on its device, as fresh from the run's seed.
        normalize: makes float batches on that device.
        on_epoch: called with the metrics of each epoch, before its checkpoint is saved.
        checkpoints: where training goes on, and what keeps the state after each epoch; by default it starts anew.
        team: the processes that train together, each of which calls this; by default it is this one.

    Raises:
        Diverged: the loss or the outputs are not finite.
        OptimError: the optimizer's keys are wrong.
    """
    keeper = checkpoints or NoCheckpoints()
    learner, best = Learner.of(run, data, model, normalize, team), Best(run.select)
    epoch, seconds = _go_on(learner, best, keeper.newest())
    while epoch < run.epochs and not (run.early_stopping and best.waited(epoch) >= run.early_stopping):
        epoch += 1
        started = time.perf_counter()
        learned = learner.epoch(epoch)
        seconds += time.perf_counter() - started
        metrics = {**learned, **learner.validate(data.val, epoch), "cost/train_seconds": seconds}
        event = Event(epoch, epoch * learner.steps, time.time(), metrics)
        on_epoch(event)
        best.consider(event, model)
        keeper.save(Checkpoint(epoch, seconds, **learner.state_dict(), best=best.state_dict(epoch)))
    if best.weights is not None:
        model.load_state_dict(best.weights)
    return Trained(best.epoch or epoch, epoch, seconds, epoch * len(data.train))


def _go_on(learner: Learner, best: Best, saved: Checkpoint | None) -> tuple[int, float]:
    """Puts training where a checkpoint left it: how many epochs are done, and the seconds they took."""
    if saved is None:
        return 0, 0.0
    learner.load_state_dict(saved)
    best.load_state_dict(saved.best, saved.model)
    return saved.epoch, saved.seconds


@dataclass(frozen=True)
class Learner:
    """A network with what changes its weights; ``network`` is ``model`` as the team's steps call it."""

    run: Run
    model: nn.Module
    network: nn.Module
    portions: Portions
    normalize: Normalize
    team: Team
    criterion: Criterion
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    steps: int
    freezing: Freezing

    @classmethod
    def of(
        cls, run: Run, data: PreparedData, model: nn.Module, normalize: Normalize, team: Team | None = None
    ) -> Learner:
        """Criterion, optimizer and schedule as ``run`` names them."""
        team = team or Alone()
        steps = steps_per_epoch(len(data.train), run.batch_size)
        criterion = make_criterion(run, data.train.labels, len(data.classes)).to(normalize.device)
        optimizer = make_optimizer(run, model)
        schedule = make_schedule(run, optimizer, steps)
        portions = Portions(run, data.train, normalize, criterion, team)
        network = team.network(model)
        team.diversify(run.seed)
        freezing = Freezing.of(run, model)
        return cls(run, model, network, portions, normalize, team, criterion, optimizer, schedule, steps, freezing)

    def epoch(self, number: int) -> dict[str, float | None]:
        """One pass over the training images; the ``train/…`` metrics while learning."""
        self.network.train()
        self.freezing.begin(number)
        losses = torch.empty(self.steps, device=self.normalize.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.normalize.device)
        seen = checked = 0
        for index, portion in enumerate(self.portions.epoch(number)):
            logits, losses[index] = self._step(portion)
            hits = (logits.argmax(1) == portion.labels)[portion.counting]
            correct += hits.sum()
            seen += len(hits)
            if (index + 1) % CHECK_EVERY == 0 or index + 1 == self.steps:
                self.team.average(losses[checked : index + 1])
                _check(losses[: index + 1], (number - 1) * self.steps)
                checked = index + 1
        counts = self.team.gather((int(correct), seen))
        accuracy = sum(right for right, _ in counts) / sum(count for _, count in counts)
        group = self.optimizer.param_groups[0]
        rate = group["lr"] / group.get("lr_scale", 1.0)
        return {"train/loss": float(losses.mean()), "train/accuracy": accuracy, "train/lr": rate}

    def state_dict(self) -> dict[str, State]:
        """The parts of a :class:`Checkpoint` that change while learning."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": random_state.packed(self.team.gather(random_state.current(self.normalize.device))),
        }

    def load_state_dict(self, saved: Checkpoint) -> None:
        """Parameters are written in place and keep their layout in memory; the random state comes last."""
        self.model.load_state_dict(saved.model)
        self.optimizer.load_state_dict(saved.optimizer)
        self.schedule.load_state_dict(saved.schedule)
        random_state.restore(random_state.unpacked(saved.random, self.team.rank), self.normalize.device)

    def validate(self, split: Split, epoch: int) -> dict[str, float | None]:
        """The cheap ``val/…`` metrics of the network as it is.

        Raises:
            Diverged: an output is not a number.
        """
        log_probs = predict_together(self.model, split, self.run.eval_batch_size, self.normalize, self.team)
        if np.isnan(log_probs).any():
            step = epoch * self.steps
            raise Diverged(f"the network's outputs are not numbers after step {step}", step)
        values = self.team.first(lambda: cheap_scores(split.labels.numpy(), log_probs).values)
        return {f"val/{name}": value for name, value in values.items()}

    def _step(self, portion: Portion) -> tuple[Tensor, Tensor]:
        """One optimizer step; the logits and the loss, detached."""
        outputs = self.network(portion.images)
        logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = self.criterion(logits, portion.labels, portion.scale)
        for each in auxiliary:
            loss = loss + AUX_WEIGHT * self.criterion(each, portion.labels, portion.scale)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.run.clip_grad is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.run.clip_grad)
        self.optimizer.step()
        self.schedule.advance()
        return logits.detach(), loss.detach()


def _check(losses: Tensor, earlier_steps: int) -> None:
    broken = (~losses.isfinite()).nonzero()
    if len(broken):
        index = int(broken[0, 0])
        step = earlier_steps + index + 1
        raise Diverged(f"loss {float(losses[index])} at step {step}", step)
