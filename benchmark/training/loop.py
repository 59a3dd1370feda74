"""The training loop: epochs over batches cut from memory, validation after each, the best epoch's weights kept.

The order of images is a function of (seed, epoch); all other state, the random generators' included, is in the
checkpoints after epochs and within them.  So an interrupted run goes on where it stopped and ends bit by bit where an
undisturbed one ends.

Several processes (:mod:`benchmark.training.team`) make the same steps, each with its share of every batch: loss,
gradient and metrics are those of the whole batch, to within rounding.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from benchmark.failpoints import reach
from benchmark.records import Event
from benchmark.run import Run
from benchmark.training import clock
from benchmark.training.best import Best
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.checkpoints import Keeper, NoCheckpoints
from benchmark.training.data import Normalize, PreparedData, Split
from benchmark.training.failures import Paused, Stopped
from benchmark.training.learner import Learner
from benchmark.training.progress import Progress
from benchmark.training.team import Team


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
    until: int | None = None,
) -> Trained:
    """Trains ``model`` in place and leaves in it the weights of the best epoch by validation.

    Args:
        run: every hyperparameter.
        data: decoded images; only its training and validation splits are looked at.
        model: on its device, as fresh from the run's seed.
        normalize: makes float batches on that device.
        on_epoch: called with the metrics of each epoch, before its checkpoint is saved.
        checkpoints: where training goes on, and what keeps its state; by default it starts anew.
        team: the processes that train together, each of which calls this; by default it is this one.
        until: after so many epochs training pauses, if it is not over.

    Raises:
        Diverged: the loss or the outputs are not finite.
        OptimError: the optimizer's keys are wrong.
        Stopped: the job was asked to stop; a checkpoint has been saved.
        Paused: ``until`` is reached; a checkpoint has been saved.
    """
    training = Training(Learner.of(run, data, model, normalize, team), Best(run.select), checkpoints or NoCheckpoints())
    training.resume()
    while not training.over:
        if until is not None and training.epoch >= until:
            raise Paused(f"paused after epoch {training.epoch} of {run.epochs}")
        learned = training.learn()
        validated = training.validate(data.val)
        with training.keeper.patience():
            on_epoch(training.finish_epoch({**learned, **validated}))
            if training.epoch == until or training.keeper.due(training.over):
                training.save()
    if training.best.weights is not None:
        model.load_state_dict(training.best.weights)
    epochs = training.epoch
    return Trained(training.best.epoch or epochs, epochs, training.seconds, epochs * len(data.train))


@dataclass
class Training:
    """Training after ``epoch`` whole epochs and ``seconds`` of learning; ``progress`` is the epoch that is not over."""

    learner: Learner
    best: Best
    keeper: Keeper
    epoch: int = 0
    seconds: float = 0.0
    progress: Progress | None = None

    @property
    def over(self) -> bool:
        run = self.learner.run
        stopped = run.early_stopping and self.best.waited(self.epoch) >= run.early_stopping
        return self.epoch >= run.epochs or bool(stopped)

    def resume(self) -> None:
        """Puts training where the newest checkpoint left it."""
        if saved := self.keeper.newest():
            self.learner.load_state_dict(saved)
            self.best.load_state_dict(saved.best, saved.evaluated)
            self.epoch, self.seconds = saved.epoch, saved.seconds
            if saved.within:
                self.progress = self.learner.begin(self.epoch + 1)
                self.progress.load_state_dict(saved.within, self.learner.team.rank)

    def learn(self) -> dict[str, float | None]:
        """The next epoch's pass over the training images, or the rest of it; the ``train/…`` metrics."""
        progress = self.progress or self.learner.begin(self.epoch + 1)
        self.progress = progress
        with self.keeper.patience():
            started = time.perf_counter()
            for _ in self.learner.go_on(progress):
                reach("job.step")
                if (wish := self.keeper.wish(progress.done, progress.over)) != "nothing":
                    self.seconds += time.perf_counter() - started
                    self._save_within(progress, stop=wish == "stop")
                    started = time.perf_counter()
            self.seconds += time.perf_counter() - started
        return self.learner.learned(progress)

    def validate(self, split: Split) -> dict[str, float | None]:
        """The ``val/…`` metrics after that.  A job that is asked to stop meanwhile saves what it has learnt; processes
        that train together cannot agree on that any more."""
        try:
            return self.learner.validate(split, self.epoch + 1)
        except Stopped:
            if self.learner.team.size == 1 and self.progress is not None:
                self._save_within(self.progress, stop=False)
            raise

    def finish_epoch(self, metrics: dict[str, float | None]) -> Event:
        """Counts the epoch, whose metrics these are."""
        self.epoch += 1
        self.progress = None
        metrics = {**metrics, "cost/train_seconds": self.seconds}
        event = Event(self.epoch, self.epoch * self.learner.steps, clock.now(), metrics)
        self.best.consider(event, self.learner.evaluated)
        return event

    def save(self) -> None:
        """A checkpoint between two epochs."""
        best = self.best.state_dict(self.epoch)
        self.keeper.save(Checkpoint(self.epoch, 0, self.seconds, **self.learner.state_dict(), best=best, within={}))

    def _save_within(self, progress: Progress, *, stop: bool) -> None:
        state, within = self.learner.state_dict(), progress.state_dict(self.learner.team)
        best = self.best.state_dict(None)
        self.keeper.save(Checkpoint(self.epoch, progress.done, self.seconds, **state, best=best, within=within))
        reach("job.within")
        if stop:
            raise Stopped(f"asked to stop; goes on after step {progress.done} of epoch {progress.epoch}")
