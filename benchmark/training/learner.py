"""A network with all that changes its weights, a step at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.run import Run
from benchmark.training import random_state
from benchmark.training.averaging import Average, average_of
from benchmark.training.checkpoint import Checkpoint, State
from benchmark.training.compiling import compiled
from benchmark.training.data import Normalize, PreparedData, Split, steps_per_epoch
from benchmark.training.diverged import Diverged
from benchmark.training.evaluate import predict_together
from benchmark.training.freezing import Freezing
from benchmark.training.metrics import cheap_scores
from benchmark.training.models import AUX_WEIGHT
from benchmark.training.optim import Criterion, Schedule, make_criterion, make_optimizer, make_schedule
from benchmark.training.portions import Portion, Portions
from benchmark.training.precision import Precision
from benchmark.training.progress import Progress
from benchmark.training.team import Alone, Team

CHECK_EVERY = 50
"""Steps between looks at the losses: each look waits for the device."""


@dataclass(frozen=True)
class Learner:
    """``network`` is ``model`` as the team's steps call it."""

    run: Run
    model: nn.Module
    network: nn.Module
    portions: Portions
    normalize: Normalize
    team: Team
    criterion: Criterion
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    precision: Precision
    average: Average
    freezing: Freezing
    steps: int

    @classmethod
    def of(
        cls, run: Run, data: PreparedData, model: nn.Module, normalize: Normalize, team: Team | None = None
    ) -> Learner:
        """Criterion, optimizer and schedule as ``run`` names them."""
        team, device = team or Alone(), normalize.device
        steps = steps_per_epoch(len(data.train), run.batch_size)
        criterion = make_criterion(run, data.train.labels, len(data.classes)).to(device)
        optimizer = make_optimizer(run, model)
        schedule = make_schedule(run, optimizer, steps)
        portions = Portions(run, data.train, normalize, criterion, team)
        average = average_of(model, run.ema_decay)
        network = compiled(team.network(model), run, steps, device)
        team.diversify(run.seed)
        changing = (optimizer, schedule, Precision.of(run.precision, device), average, Freezing.of(run, model))
        return cls(run, model, network, portions, normalize, team, criterion, *changing, steps)

    @property
    def evaluated(self) -> nn.Module:
        """The network whose weights count: the average, where the run keeps one."""
        return self.average.evaluated(self.model)

    def begin(self, epoch: int) -> Progress:
        """A pass over the training images, of which nothing is done."""
        return Progress.begin(epoch, self.run.seed, self.steps, self.normalize.device)

    def go_on(self, progress: Progress) -> Iterator[None]:
        """Does what is left of a pass; comes back after each step.

        Raises:
            Diverged: a loss is not a finite number.
        """
        self.network.train()
        self.freezing.begin(progress.epoch)
        for portions in self.portions.epoch(progress):
            progress.losses[progress.done], hits, seen = self._step(portions)
            progress.hits += hits
            progress.seen += seen
            progress.done += 1
            if progress.done % CHECK_EVERY == 0 or progress.over:
                self._check(progress)
            yield

    def epoch(self, number: int) -> dict[str, float | None]:
        """A whole pass over the training images; the ``train/…`` metrics while learning."""
        progress = self.begin(number)
        for _ in self.go_on(progress):
            pass
        return self.learned(progress)

    def learned(self, progress: Progress) -> dict[str, float | None]:
        """The ``train/…`` metrics of a pass that is over."""
        group = self.optimizer.param_groups[0]
        rate = group["lr"] / group.get("lr_scale", 1.0)
        return {
            "train/loss": float(progress.losses.mean()),
            "train/accuracy": progress.accuracy(self.team),
            "train/lr": rate,
        }

    def state_dict(self) -> dict[str, State]:
        """The parts of a :class:`Checkpoint` that change while learning."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.precision.scaler.state_dict(),
            "average": self.average.state_dict(),
            "random": random_state.packed(self.team.gather(random_state.current(self.normalize.device))),
        }

    def load_state_dict(self, saved: Checkpoint) -> None:
        """Parameters are written in place and keep their layout in memory; the random state comes last."""
        self.model.load_state_dict(saved.model)
        self.optimizer.load_state_dict(saved.optimizer)
        self.schedule.load_state_dict(saved.schedule)
        self.precision.scaler.load_state_dict(saved.scaler)
        self.average.load_state_dict(saved.average)
        random_state.restore(random_state.unpacked(saved.random, self.team.rank), self.normalize.device)

    def validate(self, split: Split, epoch: int) -> dict[str, float | None]:
        """The cheap ``val/…`` metrics of the network as it is.

        Raises:
            Diverged: an output is not a number.
        """
        log_probs = predict_together(self.run, self.evaluated, split, self.normalize, self.team)
        if np.isnan(log_probs).any():
            step = epoch * self.steps
            raise Diverged(f"the network's outputs are not numbers after step {step}", step)
        values = self.team.first(lambda: cheap_scores(split.labels.numpy(), log_probs).values)
        return {f"val/{name}": value for name, value in values.items()}

    def _step(self, portions: Iterable[Portion]) -> tuple[Tensor, Tensor, int]:
        """One optimizer step over the portions of a batch: their loss, how many images were classified right, and how
        many there were."""
        scaler = self.precision.scaler
        self.optimizer.zero_grad(set_to_none=True)
        losses, hits, seen = [], [], 0
        for number, portion in enumerate(portions, start=1):
            with self.team.apart(self.network, number < self.run.accumulate):
                logits, loss = self._loss(portion)
                scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            right = (logits.argmax(1) == portion.labels)[portion.counting]
            losses.append(loss.detach())
            hits.append(right.sum())
            seen += len(right)
        if self.run.clip_grad is not None:
            scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.run.clip_grad)
        scaler.step(self.optimizer)
        scaler.update()
        self.schedule.advance()
        self.average.update(self.model)
        return _sum(losses), _sum(hits), seen

    def _loss(self, portion: Portion) -> tuple[Tensor, Tensor]:
        """Logits, detached, and the loss of one portion."""
        with self.precision.forward():
            outputs = self.network(portion.images)
            logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
            loss = self._criterion(logits, portion)
            for each in auxiliary:
                loss = loss + AUX_WEIGHT * self._criterion(each, portion)
        return logits.detach(), loss

    def _criterion(self, logits: Tensor, portion: Portion) -> Tensor:
        loss: Tensor = self.criterion(logits, portion.labels, portion.scale)
        if mix := portion.mix:
            partner: Tensor = self.criterion(logits, mix.partners, portion.scale)
            loss = mix.kept * loss + (1 - mix.kept) * partner
        return loss

    def _check(self, progress: Progress) -> None:
        self.team.average(progress.losses[progress.checked : progress.done])
        broken = (~progress.losses[: progress.done].isfinite()).nonzero()
        if len(broken):
            index = int(broken[0, 0])
            step = (progress.epoch - 1) * self.steps + index + 1
            raise Diverged(f"loss {float(progress.losses[index])} at step {step}", step)
        progress.checked = progress.done


def _sum(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(values).sum()
