"""A whole run: trained from its last checkpoint on, tested once, and written down, ``result.json`` last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from benchmark.durable import atomic
from benchmark.failpoints import reach
from benchmark.plugins import labels
from benchmark.records import Event, Predictions, Result
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.training import clock
from benchmark.training.added import added_scores, plugins_of
from benchmark.training.checkpoints import Checkpoints, Following, clear
from benchmark.training.data import Normalize, PreparedData, Split
from benchmark.training.environment import environment
from benchmark.training.evaluate import evaluation, predict_together
from benchmark.training.features import Learning, probe
from benchmark.training.loop import Trained, train
from benchmark.training.macs import count_macs
from benchmark.training.memory import Parts
from benchmark.training.metrics import Scores, scores
from benchmark.training.models import architecture
from benchmark.training.outset import make_model, make_normalize, pretrain, shape
from benchmark.training.pace import Pace
from benchmark.training.profiling import ResourceMeter, together
from benchmark.training.team import Team
from benchmark.weights import sha256


def train_and_test(
    parts: Parts,
    data: PreparedData,
    device: torch.device,
    team: Team,
    pace: Pace,
    weights: Path | None = None,
    until: int | None = None,
) -> nn.Module:
    """Trains, from the last checkpoint on, tests once, and writes ``result.json`` after all that belongs to it.  In a
    team only the first process writes.

    Args:
        weights: where the weights of a pretrained model lie.
        until: see :func:`benchmark.training.loop.train`.

    Returns:
        the network with the weights of the best epoch.
    """
    started, run, rundir = clock.now(), parts.fitting, parts.rundir
    with ResourceMeter(device) as meter:
        model, normalize = make_model(run, data, device), make_normalize(run, data, device)
        pretrain(run, model, weights)
        leads = team.rank == 0
        found = probe(run, model, data, normalize, log)
        checkpoints = Checkpoints.of(rundir, run.run_id, device, meter, log) if leads else None
        tell = EpochWriter(rundir) if leads else _tell_nobody
        learning = found or Learning(run, data, model, normalize)
        keeper = Following(team, checkpoints, pace)
        trained = train(learning.run, learning.data, learning.model, learning.normalize, tell, keeper, team, until)
        model.requires_grad_(True)  # of a frozen backbone: a speed is measured of training all
        predictions = {
            name: _predict(run, learning.model, split, learning.normalize, team)
            for name, split in _tested(learning.data)
        }
        if leads:
            final = _final_scores(predictions, data.classes)
            facts = _facts(model, trained, *shape(data))
    cost = together(team.gather(meter.values))
    if leads:
        _write_files(rundir, model, predictions, data.classes)
        _finish(parts, device, Found(started, trained, final, {**facts, **cost}))
    return model


def log(line: str) -> None:
    """Standard output is the log of the attempt."""
    print(line, flush=True)


@dataclass(frozen=True)
class Found:
    """What a run came to: when it ``started``, how it learned, its ``final`` scores and its other values."""

    started: float
    trained: Trained
    final: Scores
    values: Mapping[str, float | None]


def _finish(parts: Parts, device: torch.device, found: Found) -> None:
    """Writes the result, when all that belongs to it is there; then no checkpoint is needed any more."""
    run, rundir, trained, final = parts.fitting, parts.rundir, found.trained, found.final
    result = Result(
        run_id=parts.run.run_id,
        metrics={**final.values, **found.values},
        undefined=final.undefined,
        best_epoch=trained.best_epoch,
        epochs=trained.epochs,
        started=found.started,
        finished=clock.now(),
        architecture=architecture(run.model, run.model_args),
        environment=environment(device, labels(plugins_of(run))),
        notes=(*parts.note, *_notes(run, trained), *final.notes),
        weights=sha256(rundir.model),
    )
    reach("job.evaluated")
    rundir.write_result(result)
    reach("job.finished")
    clear(rundir)
    log(f"done: test accuracy {final.values['test/accuracy']:.4f}")


def _facts(model: nn.Module, trained: Trained, size: int, channels: int) -> dict[str, float]:
    return {
        "model/parameters": float(sum(each.numel() for each in model.parameters())),
        "model/macs": float(count_macs(model, size, channels)),
        "cost/train_seconds": trained.seconds,
        "cost/train_images_per_second": trained.images / max(trained.seconds, 1e-9),
    }


@dataclass(frozen=True)
class EpochWriter:
    """Writes each epoch to ``events.jsonl`` and a line of it to the log."""

    rundir: RunDir

    def __call__(self, event: Event) -> None:
        self.rundir.append_event(event)
        reach("job.epoch")
        shown = ("train/loss", "val/accuracy", "val/log_loss", "cost/train_seconds")
        numbers = " ".join(f"{name}={event.metrics.get(name):.4g}" for name in shown)
        log(f"epoch {event.epoch} {numbers}")


def _tell_nobody(event: Event) -> None:
    """The first process tells of an epoch."""


def _tested(data: PreparedData) -> Iterator[tuple[str, Split]]:
    yield "val", data.val
    yield "test", data.test


def _predict(run: Run, model: nn.Module, split: Split, normalize: Normalize, team: Team) -> Predictions:
    log_probs = predict_together(run, model, split, normalize, team)
    return Predictions(split.ids, split.labels.numpy(), log_probs)


def _final_scores(predictions: Mapping[str, Predictions], classes: tuple[str, ...]) -> Scores:
    """Every metric of every split, under its section's name."""
    found = [
        some.under(section)
        for section, each in predictions.items()
        for some in (scores(each.labels, each.log_probs, classes), added_scores(each.labels, each.log_probs))
    ]
    return Scores(
        {name: value for each in found for name, value in each.values.items()},
        {name: reason for each in found for name, reason in each.undefined.items()},
        tuple(note for each in found for note in each.notes),
    )


def _write_files(
    rundir: RunDir, model: nn.Module, predictions: Mapping[str, Predictions], classes: tuple[str, ...]
) -> None:
    rundir.write_predictions(predictions, classes)
    drawn = {name: evaluation(each.labels, each.log_probs, classes) for name, each in predictions.items()}
    rundir.write_evaluation(drawn, classes)
    with atomic(rundir.model) as file:
        file.write(save({name: each.contiguous() for name, each in model.state_dict().items()}))


def _notes(run: Run, trained: Trained) -> Iterator[str]:
    if trained.epochs < run.epochs:
        yield f"stopped early after epoch {trained.epochs} of {run.epochs}"
    frozen = run.freeze != "none" and (run.unfreeze_epoch is None or trained.epochs <= run.unfreeze_epoch)
    if frozen and not run.pretrained:
        yield "its backbone is random and was never trained: freeze without pretrained"
