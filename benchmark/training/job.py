"""The program inside a job: reads a run and decoded images, trains, tests once, and writes the run directory.

It takes every directory from SageMaker's own environment variables, so that one program runs in a host process, in a
local container and in a training job::

    SM_CHANNEL_CONFIG   run.json               SM_OUTPUT_DATA_DIR  result.json, predictions.npz, evaluation.json ...
    SM_CHANNEL_DATA     decoded images         SM_MODEL_DIR        model.safetensors
    SM_CHECKPOINT_DIR   events.jsonl           SM_OUTPUT_DIR       failure: a short message, as SageMaker wants it

It needs torch, torchvision, timm, numpy, Pillow and safetensors, and nothing else.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from benchmark.run import Run
from benchmark.rundir import Event, Failure, FailureKind, Predictions, Result, RunDir, atomic
from benchmark.training.data import Normalize, PreparedData, Split, batches, load
from benchmark.training.environment import environment
from benchmark.training.evaluate import evaluation, predict
from benchmark.training.loop import Diverged, Trained, train
from benchmark.training.macs import count_macs
from benchmark.training.metrics import Scores, scores
from benchmark.training.models import ModelError, architecture, build
from benchmark.training.optim import OptimError
from benchmark.training.predicted import NotANumber
from benchmark.training.profiling import ResourceMeter, profile

TRACEBACK_LINES = 30
PROFILE_SECONDS = 1.5


class DataMismatch(Exception):
    """The decoded images are not those that the run was planned with."""


class DeviceMissing(ValueError):
    """The device that the run names is not on this machine."""


class Stopped(BaseException):
    """The job was asked to stop by SIGTERM; not an error of the run."""


@dataclass(frozen=True)
class Places:
    """Where a job reads and writes."""

    config: Path
    data: Path
    rundir: RunDir
    message: Path

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Places:
        """The directories of SageMaker's contract.

        Raises:
            KeyError: a variable is missing; the error names it.
        """
        output, model = Path(variables["SM_OUTPUT_DATA_DIR"]), Path(variables["SM_MODEL_DIR"])
        rundir = RunDir(output, checkpoint=Path(variables["SM_CHECKPOINT_DIR"]), model=model)
        config, data = Path(variables["SM_CHANNEL_CONFIG"]), Path(variables["SM_CHANNEL_DATA"])
        return cls(config, data, rundir, Path(variables["SM_OUTPUT_DIR"]) / "failure")


def main() -> int:
    """Runs the job that the environment describes: 0 with a result, 1 with a recorded failure."""
    signal.signal(signal.SIGTERM, _stop)
    places = Places.from_environment(os.environ)
    try:
        work(RunDir(places.config).read_run(), places)
    except (Exception, Stopped) as error:
        traceback.print_exc()
        failure = describe_failure(error)
        places.rundir.write_failure(failure)
        places.message.parent.mkdir(parents=True, exist_ok=True)
        places.message.write_text(f"{failure.kind}: {failure.message}"[:1024], encoding="utf-8")
        return 1
    return 0


def work(run: Run, places: Places) -> None:
    """Trains and tests one run and writes its files, ``result.json`` after all that belong to it."""
    started = time.time()
    set_up(run)
    data = _load(run, places.data)
    device = choose_device(run.device)
    with ResourceMeter(device) as meter:
        model, normalize = make_model(run, data, device), Normalize(data.mean, data.std, device)
        trained = train(run, data, model, normalize, EpochWriter(places.rundir))
        predictions = {name: _predict(run, model, split, normalize) for name, split in _tested(data)}
    final = _final_scores(predictions, data.classes)
    size, channels = int(data.train.images.shape[1]), int(data.train.images.shape[3])
    facts = {
        "model/parameters": float(sum(each.numel() for each in model.parameters())),
        "model/macs": float(count_macs(model, size, channels)),
        "cost/train_seconds": trained.seconds,
        "cost/seconds": time.time() - started,
        "cost/train_images_per_second": trained.images / max(trained.seconds, 1e-9),
        **meter.values,
    }
    _write_files(places.rundir, model, predictions, data.classes)
    result = Result(
        run_id=run.run_id,
        metrics={**final.values, **facts},
        undefined=final.undefined,
        best_epoch=trained.best_epoch,
        epochs=trained.epochs,
        started=started,
        finished=time.time(),
        architecture=architecture(run.model, run.model_args),
        environment=environment(device),
        notes=(*_notes(run, trained), *final.notes),
    )
    places.rundir.write_result(result)
    _profile(run, model, (size, channels), device, places.rundir)
    print(f"done: test accuracy {final.values['test/accuracy']:.4f}", flush=True)


def _profile(run: Run, model: nn.Module, shape: tuple[int, int], device: torch.device, rundir: RunDir) -> None:
    """Measures the speed once the result is safe: what fails here (memory for a larger batch) costs the profile."""
    try:
        measured = profile(
            model,
            image_size=shape[0],
            channels=shape[1],
            batch_size=run.eval_batch_size,
            device=device,
            seconds=PROFILE_SECONDS,
        )
        rundir.write_profile(measured)
    except (RuntimeError, MemoryError, OSError):
        traceback.print_exc()


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
    size, channels = data.train.images.shape[1], data.train.images.shape[3]
    torch.manual_seed(run.seed)
    model = build(run.model, run.model_args, int(size), int(channels), len(data.classes))
    return model.to(device).to(memory_format=torch.channels_last)


def describe_failure(error: BaseException) -> Failure:
    """The failure as a value: its kind, its message, and the end of its traceback."""
    lines = "".join(traceback.format_exception(error)).splitlines()[-TRACEBACK_LINES:]
    step = error.step if isinstance(error, Diverged) else None
    message = str(error) or type(error).__name__
    return Failure(_kind(error), message[:2000], "\n".join(lines), step, time.time())


def _kind(error: BaseException) -> FailureKind:
    kinds: list[tuple[type[BaseException] | tuple[type[BaseException], ...], FailureKind]] = [
        ((Diverged, NotANumber), "diverged"),
        ((MemoryError, torch.OutOfMemoryError), "oom"),
        (DataMismatch, "data"),
        ((ModelError, OptimError, DeviceMissing), "config"),
        (Stopped, "stopped"),
    ]
    # torch has no exception of its own for memory that the CPU allocator could not get.
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        return "oom"
    return next((kind for types, kind in kinds if isinstance(error, types)), "error")


def _load(run: Run, directory: Path) -> PreparedData:
    data = load(directory)
    if data.digest != run.data_digest:
        raise DataMismatch(f"the run wants data {run.data_digest[:12]}, {directory} holds {data.digest[:12]}")
    return data


@dataclass(frozen=True)
class EpochWriter:
    """Writes each epoch to ``events.jsonl`` and a line of it to the log."""

    rundir: RunDir

    def __call__(self, event: Event) -> None:
        self.rundir.append_event(event)
        shown = ("train/loss", "val/accuracy", "val/log_loss", "cost/train_seconds")
        numbers = " ".join(f"{name}={event.metrics.get(name):.4g}" for name in shown)
        print(f"epoch {event.epoch} {numbers}", flush=True)


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
