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
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
import torch.utils.serialization
from torch import nn

from benchmark.failpoints import reach
from benchmark.records import Failure
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.training import clock
from benchmark.training.checkpoints import clear
from benchmark.training.data import PreparedData, load
from benchmark.training.failures import SECONDARY, DataMismatch, Paused, Stopped, describe_failure
from benchmark.training.lifeline import SESSION, tie_worker
from benchmark.training.memory import Parts, with_room
from benchmark.training.outset import choose_device, make_model, set_up, shape
from benchmark.training.pace import Pace
from benchmark.training.places import Places
from benchmark.training.profiling import profile
from benchmark.training.recording import print_error, write_failure
from benchmark.training.stopping import Bell
from benchmark.training.team import Alone, Team, is_member, team_of
from benchmark.training.torchrun import Word, train_together
from benchmark.training.whole import log, train_and_test

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


if __name__ == "__main__":
    sys.exit(main())
