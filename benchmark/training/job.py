"""The program inside a job: reads a run and decoded images, trains, tests once, and writes the run directory.

It takes every directory from SageMaker's own environment variables, so that one program runs in a host process, in a
local container and in a training job::

    SM_CHANNEL_CONFIG   run.json               SM_OUTPUT_DATA_DIR  result.json, predictions.npz, evaluation.json ...
    SM_CHANNEL_DATA     decoded images         SM_MODEL_DIR        model.safetensors
    SM_CHECKPOINT_DIR   events.jsonl and       SM_OUTPUT_DIR       failure: a short message, as SageMaker wants it
                        checkpoints            SM_CHANNEL_WEIGHTS  weights.safetensors, of a pretrained model

``BENCHMARK_TASKS`` says what to do: ``train``, ``profile`` (speed, measured apart from quality) or, by default, both.
``profile`` alone takes fresh weights and writes ``profile.json`` only.

A run of several processes is trained by workers that torchrun starts over the same script and that do what is said here
together (:mod:`benchmark.training.team`); the first of them writes.

A job that was killed is started again with the same places, and goes on after its last checkpoint.  Everything heavy is
imported with this module, so that a process forked from one that has imported it starts at once; importing it computes
nothing and starts no thread.

It needs torch, torchvision, timm, numpy, Pillow and safetensors, and nothing else.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.utils.serialization
from safetensors.torch import save
from torch import nn

from benchmark.failpoints import reach
from benchmark.plugins import labels
from benchmark.records import Event, Failure, Predictions, Result
from benchmark.run import Run
from benchmark.rundir import RunDir, atomic
from benchmark.training import clock
from benchmark.training.added import added_scores, plugins_of
from benchmark.training.checkpoints import Checkpoints, Following, clear
from benchmark.training.data import Normalize, PreparedData, Split, load
from benchmark.training.environment import environment
from benchmark.training.evaluate import evaluation, predict_together
from benchmark.training.failures import SECONDARY, DataMismatch, Paused, Stopped, describe_failure
from benchmark.training.features import Learning, probe
from benchmark.training.lifeline import SESSION, tie_worker
from benchmark.training.loop import Trained, train
from benchmark.training.macs import count_macs
from benchmark.training.memory import Parts, with_room
from benchmark.training.metrics import Scores, scores
from benchmark.training.models import architecture
from benchmark.training.outset import choose_device, make_model, make_normalize, pretrain, set_up, shape
from benchmark.training.pace import Pace
from benchmark.training.places import Places
from benchmark.training.profiling import ResourceMeter, profile, together
from benchmark.training.recording import print_error, write_failure
from benchmark.training.stopping import Bell
from benchmark.training.team import Alone, Team, is_member, team_of
from benchmark.training.torchrun import Word, train_together
from benchmark.weights import sha256

TASKS = ("train", "profile")
PROFILE_SECONDS, LEAST_PROFILE, PROFILE_SHARE = 1.5, 0.2, 0.03
"""How long a profile measures; after training, no more than this share of the training's seconds, but the least."""


def main() -> int:
    """Runs the job that the environment describes: 0 when done, 1 with a recorded failure, 74 where the disk would not
    even take the record."""
    bell, places = Bell(), Places.from_environment(os.environ)
    signal.signal(signal.SIGTERM, bell)
    try:
        run, tasks = RunDir(places.config).read_run(), named_tasks(os.environ)
        if is_member(run, os.environ):
            return _work_in_a_team(run, places, tasks, bell)
        if run.processes == 1 or "train" not in tasks:
            work(run, places, tasks, bell)
        elif failure := train_together(run, places, os.environ):
            return write_failure(failure, places)
    except Paused as pause:
        bell.silent = True
        log(str(pause))
        places.rundir.write_failure(Failure("paused", str(pause), time=clock.now()))
    except (Exception, Stopped) as error:
        bell.silent = True
        return _record(error, places)
    return 0


def named_tasks(variables: Mapping[str, str]) -> tuple[str, ...]:
    """What ``BENCHMARK_TASKS`` names; without it, everything.  ``train@3`` is ``train``, until :func:`named_epoch`.

    Raises:
        ValueError: it names something else, or nothing.
    """
    names = tuple(each.partition("@")[0] for each in _tasks(variables))
    if not set(names) <= set(TASKS):
        raise ValueError(f"BENCHMARK_TASKS: {','.join(names)!r} is not a list of {' and '.join(TASKS)}")
    return names


def named_epoch(variables: Mapping[str, str]) -> int | None:
    """After which epoch training pauses, as ``train@3`` says; ``None``: it goes to its end."""
    found = next((each.partition("@")[2] for each in _tasks(variables) if each.startswith("train@")), "")
    return int(found) if found else None


def _tasks(variables: Mapping[str, str]) -> list[str]:
    return variables.get("BENCHMARK_TASKS", ",".join(TASKS)).split(",")


def work(
    run: Run, places: Places, tasks: Collection[str] = TASKS, bell: Bell | None = None, team: Team | None = None
) -> None:
    """Does the tasks; training only where there is no result yet."""
    reach("job.started")
    team = team or Alone()
    if "train" in tasks and team.first(lambda: _is_done(places)):
        return None
    set_up(run)
    data, device = _load(run, places.data), team.device(choose_device(run.device))
    if "train" not in tasks:
        measured = measure(run, make_model(run, data, device), data, device, PROFILE_SECONDS)
        return places.rundir.write_profile(measured)
    pace, parts = Pace.of(bell or Bell()), Parts(run, places.rundir)
    until = named_epoch(os.environ)
    model = with_room(parts, lambda: train_and_test(parts, data, device, team, pace, places.weights, until), log)
    if "profile" in tasks and team.rank == 0:
        _profile(run, model, data, device, places.rundir)
    return None


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
    if not leads:
        return model
    _write_files(rundir, model, predictions, data.classes)
    result = Result(
        run_id=parts.run.run_id,
        metrics={**final.values, **facts, **cost},
        undefined=final.undefined,
        best_epoch=trained.best_epoch,
        epochs=trained.epochs,
        started=started,
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
    return model


def measure(
    run: Run, model: nn.Module, data: PreparedData, device: torch.device, seconds: float
) -> dict[str, float | None]:
    """The ``speed/…`` values of a model on images like the data's, in about so many seconds."""
    size, channels = shape(data)
    return profile(
        model,
        image_size=size,
        channels=channels,
        batch_size=run.eval_batch_size,
        device=device,
        seconds=seconds,
    )


def log(line: str) -> None:
    """Standard output is the log of the attempt."""
    print(line, flush=True)


def _is_done(places: Places) -> bool:
    """Whether there is a result; what belongs to an unfinished attempt is removed."""
    places.remove_unfinished()
    if places.rundir.read_result() is None:
        return False
    clear(places.rundir)
    return True


def _load(run: Run, directory: Path) -> PreparedData:
    data = load(directory)
    if data.digest != run.data_digest:
        raise DataMismatch(f"the run wants data {run.data_digest[:12]}, {directory} holds {data.digest[:12]}")
    return data


def _record(error: BaseException, places: Places) -> int:
    """Writes down why the job failed; the exit code."""
    print_error(error)
    return write_failure(describe_failure(error, places.directories), places)


def _work_in_a_team(run: Run, places: Places, tasks: Collection[str], bell: Bell) -> int:
    """:func:`work` as one of those that train together; the exit code."""
    tie_worker(os.environ)
    word, team = Word.begin(places, int(os.environ["RANK"])), None
    try:
        with team_of(run, os.environ) as team:
            work(run, places, tasks, bell, team)
    except (Exception, Stopped) as error:
        bell.silent = True
        print_error(error)
        failure = describe_failure(error, places.directories)
        failure = team.blame(failure, error) if team else failure
        word.failed(failure)
        if SESSION not in os.environ and (word.rank == 0 or failure.kind not in SECONDARY):
            write_failure(failure, places)  # somebody else's torchrun: no job looks at the word
        return 1
    word.ended()
    return 0


def _profile(run: Run, model: nn.Module, data: PreparedData, device: torch.device, rundir: RunDir) -> None:
    """Measures the speed once the result is safe: what fails here (memory for a larger batch) costs the profile."""
    result = rundir.read_result()
    trained = result.metrics["cost/train_seconds"] if result else None
    seconds = min(PROFILE_SECONDS, max(LEAST_PROFILE, PROFILE_SHARE * (trained or 0.0)))
    try:
        rundir.write_profile(measure(run, model, data, device, seconds))
    except (RuntimeError, MemoryError, OSError):
        traceback.print_exc()


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


def _notes(run: Run, trained: Trained) -> tuple[str, ...]:
    stopped = trained.epochs < run.epochs
    return (f"stopped early after epoch {trained.epochs} of {run.epochs}",) if stopped else ()


if __name__ == "__main__":
    sys.exit(main())
