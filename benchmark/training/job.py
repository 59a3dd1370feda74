"""The program inside a job: reads a run and decoded images, trains, tests once, and writes the run directory.

It takes every directory from SageMaker's own environment variables, so that one program runs in a host process, in a
local container and in a training job::

    SM_CHANNEL_CONFIG   run.json               SM_OUTPUT_DATA_DIR  result.json, predictions.npz, evaluation.json ...
    SM_CHANNEL_DATA     decoded images         SM_MODEL_DIR        model.safetensors
    SM_CHECKPOINT_DIR   events.jsonl and       SM_OUTPUT_DIR       failure: a short message, as SageMaker wants it
                        checkpoints

``BENCHMARK_TASKS`` says what to do: ``train``, ``profile`` (speed, measured apart from quality) or, by default, both.
``profile`` alone takes fresh weights and writes ``profile.json`` only.

A job that was killed is started again with the same places, and goes on after its last checkpoint.  Everything heavy is
imported with this module, so that a process forked from one that has imported it starts at once; importing it computes
nothing and starts no thread.

It needs torch, torchvision, timm, numpy, Pillow and safetensors, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import numpy.ctypeslib
import numpy.ma  # these three are imported by numpy and torch at first use, in every job
import torch
import torch.utils.serialization
from safetensors.torch import save
from torch import nn

from benchmark.failpoints import reach
from benchmark.run import Run
from benchmark.rundir import Event, Predictions, Result, RunDir, atomic
from benchmark.training.checkpoints import Checkpoints, clear
from benchmark.training.data import Normalize, PreparedData, Split, batches, load
from benchmark.training.environment import environment
from benchmark.training.evaluate import evaluation, predict
from benchmark.training.failures import DataMismatch, DeviceMissing, Stopped, describe_failure
from benchmark.training.loop import Trained, train
from benchmark.training.macs import count_macs
from benchmark.training.metrics import Scores, scores
from benchmark.training.models import architecture, build
from benchmark.training.places import Places
from benchmark.training.profiling import ResourceMeter, profile

TASKS = ("train", "profile")
PROFILE_SECONDS = 1.5


def main() -> int:
    """Runs the job that the environment describes: 0 when done, 1 with a recorded failure, 74 where the disk would not
    even take the record."""
    signal.signal(signal.SIGTERM, _stop)
    places = Places.from_environment(os.environ)
    try:
        work(RunDir(places.config).read_run(), places, named_tasks(os.environ))
    except (Exception, Stopped) as error:
        return _record(error, places)
    return 0


def named_tasks(variables: Mapping[str, str]) -> tuple[str, ...]:
    """What ``BENCHMARK_TASKS`` names; without it, everything.

    Raises:
        ValueError: it names something else, or nothing.
    """
    names = tuple(variables.get("BENCHMARK_TASKS", ",".join(TASKS)).split(","))
    if not set(names) <= set(TASKS):
        raise ValueError(f"BENCHMARK_TASKS: {','.join(names)!r} is not a list of {' and '.join(TASKS)}")
    return names


def work(run: Run, places: Places, tasks: Collection[str] = TASKS) -> None:
    """Does the tasks; training only where there is no result yet."""
    reach("job.started")
    places.remove_unfinished()
    if "train" in tasks and places.rundir.read_result():
        return clear(places.rundir)
    set_up(run)
    data, device = _load(run, places.data), choose_device(run.device)
    if "train" not in tasks:
        return places.rundir.write_profile(measure(run, make_model(run, data, device), data, device))
    model = train_and_test(run, data, device, places.rundir)
    if "profile" in tasks:
        _profile(run, model, data, device, places.rundir)
    return None


def train_and_test(run: Run, data: PreparedData, device: torch.device, rundir: RunDir) -> nn.Module:
    """Trains, from the last checkpoint on, tests once, and writes ``result.json`` after all that belongs to it.

    Returns:
        the network with the weights of the best epoch.
    """
    started = time.time()
    with ResourceMeter(device) as meter:
        model, normalize = make_model(run, data, device), Normalize(data.mean, data.std, device)
        checkpoints = Checkpoints.of(rundir, run.run_id, device, meter, log)
        trained = train(run, data, model, normalize, EpochWriter(rundir), checkpoints)
        predictions = {name: _predict(run, model, split, normalize) for name, split in _tested(data)}
        final = _final_scores(predictions, data.classes)
        facts = _facts(model, trained, *_shape(data))
    _write_files(rundir, model, predictions, data.classes)
    result = Result(
        run_id=run.run_id,
        metrics={**final.values, **facts, **meter.values},
        undefined=final.undefined,
        best_epoch=trained.best_epoch,
        epochs=trained.epochs,
        started=started,
        finished=time.time(),
        architecture=architecture(run.model, run.model_args),
        environment=environment(device),
        notes=(*_notes(run, trained), *final.notes),
    )
    reach("job.evaluated")
    rundir.write_result(result)
    reach("job.finished")
    clear(rundir)
    log(f"done: test accuracy {final.values['test/accuracy']:.4f}")
    return model


def measure(run: Run, model: nn.Module, data: PreparedData, device: torch.device) -> dict[str, float | None]:
    """The ``speed/…`` values of a model on images like the data's."""
    size, channels = _shape(data)
    return profile(
        model,
        image_size=size,
        channels=channels,
        batch_size=run.eval_batch_size,
        device=device,
        seconds=PROFILE_SECONDS,
    )


def log(line: str) -> None:
    """Standard output is the log of the attempt."""
    print(line, flush=True)


def set_up(run: Run) -> None:
    """Threads, seeds and determinism; before anything is computed."""
    torch.set_num_threads(run.threads)
    torch.set_flush_denormal(True)
    random.seed(run.seed)
    np.random.seed(run.seed)
    torch.manual_seed(run.seed)
    if run.device != "cpu" and torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def choose_device(name: str) -> torch.device:
    """``auto`` is cuda, else mps, else cpu.

    Raises:
        DeviceMissing: the device that was asked for is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(each for each, there in available.items() if there)
    if not available[name]:
        raise DeviceMissing(f"device: {name} is not available on this machine; use device: auto")
    return torch.device(name)


def make_model(run: Run, data: PreparedData, device: torch.device) -> nn.Module:
    """The network that ``run`` names, fresh from the run's seed."""
    torch.manual_seed(run.seed)
    model = build(run.model, run.model_args, *_shape(data), len(data.classes))
    return model.to(device).to(memory_format=torch.channels_last)


def _load(run: Run, directory: Path) -> PreparedData:
    data = load(directory)
    if data.digest != run.data_digest:
        raise DataMismatch(f"the run wants data {run.data_digest[:12]}, {directory} holds {data.digest[:12]}")
    return data


def _record(error: BaseException, places: Places) -> int:
    """Writes down why the job failed, as far as the disk takes it; the exit code."""
    with contextlib.suppress(OSError):  # the log may be on the disk that is full
        traceback.print_exception(error)
    failure = describe_failure(error, places.directories)
    try:
        places.rundir.write_failure(failure)
    except OSError:
        return os.EX_IOERR
    with contextlib.suppress(OSError):
        places.message.parent.mkdir(parents=True, exist_ok=True)
        places.message.write_text(f"{failure.kind}: {failure.message}"[:1024], encoding="utf-8")
    return 1


def _profile(run: Run, model: nn.Module, data: PreparedData, device: torch.device, rundir: RunDir) -> None:
    """Measures the speed once the result is safe: what fails here (memory for a larger batch) costs the profile."""
    try:
        rundir.write_profile(measure(run, model, data, device))
    except (RuntimeError, MemoryError, OSError):
        traceback.print_exc()


def _shape(data: PreparedData) -> tuple[int, int]:
    """Height and width of the images, and their channels."""
    return int(data.train.images.shape[1]), int(data.train.images.shape[3])


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


def _tested(data: PreparedData) -> Iterator[tuple[str, Split]]:
    yield "val", data.val
    yield "test", data.test


def _predict(run: Run, model: nn.Module, split: Split, normalize: Normalize) -> Predictions:
    log_probs = predict(model, batches(split, run.eval_batch_size, normalize))
    return Predictions(split.ids, split.labels.numpy(), log_probs)


def _final_scores(predictions: Mapping[str, Predictions], classes: tuple[str, ...]) -> Scores:
    """Every metric of every split, under its section's name."""
    found = [scores(each.labels, each.log_probs, classes).under(section) for section, each in predictions.items()]
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


def _stop(signum: int, frame: FrameType | None) -> None:
    raise Stopped(f"asked to stop by {signal.Signals(signum).name}")


if __name__ == "__main__":
    sys.exit(main())
