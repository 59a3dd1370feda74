"""Runs as host processes under SageMaker's contract, without Docker."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from benchmark import weights
from benchmark.data.datacache import cache_directory
from benchmark.durable import atomic
from benchmark.run import Run
from benchmark.rundir import RunDir
from launch import Job
from launch.gpus import VISIBLE, Gpus, on_gpu
from launch.host import ALLOCATOR, HostProcesses, Start, threads
from launch.withheld import without_secrets

ENTRY = Path(__file__).with_name("train_models.py")
PRELOAD = ("torch", "torch._dynamo", "torchvision", "timm", "benchmark.training.job")
"""What :data:`ENTRY` needs.  torchvision and the first optimizer would import ``torch._dynamo`` in mid-run."""

GPUS = "gpus"
"""The file of an attempt that names those it was given."""

FEATURES = "BENCHMARK_FEATURES"
"""As :mod:`benchmark.training.features` calls it."""


class FastLocal(HostProcesses):
    """The launcher of mode ``fast_local``; ``entry``, ``preload``, ``grace`` as for :class:`HostProcesses`.

    Args:
        start: ``fork``, ``spawn``, or ``auto``: fork where it is safe.
        workers_per_gpu: how many share one at a time.
        gpu_memory: bytes of tensors that a run is expected to hold on each of its GPUs.
        gpus: those of this machine; found when they are first needed.
    """

    def __init__(
        self,
        start: Start = "auto",
        workers_per_gpu: int | Literal["auto"] = "auto",
        *,
        gpu_memory: Callable[[Run], int] = lambda run: 0,
        gpus: Gpus | None = None,
        entry: Path = ENTRY,
        preload: Sequence[str] = PRELOAD,
        grace: float = 10.0,
    ) -> None:
        super().__init__(start, entry=entry, preload=preload, grace=grace)
        self._per_gpu, self._gpu_memory = workers_per_gpu, gpu_memory
        if gpus is not None:
            self._gpus = gpus

    def __exit__(self, *_: object) -> None:
        super().__exit__(*_)
        if "_gpus" in vars(self):
            self._gpus.close()

    @cached_property
    def _gpus(self) -> Gpus:
        return Gpus(self._per_gpu)

    def fits(self, run: Run) -> bool:
        """Whether the GPUs have room, if the run trains there."""
        return run.device == "cpu" or self._gpus.fit(run.processes, self._needs(run))

    def submit(self, run: Run, rundir: RunDir, attempt: int, data: Path, tasks: str = "train") -> Job:
        """Starts the job.

        Raises:
            BlockingIOError: another attempt at this run lives.
        """
        directory = rundir.attempt(attempt).absolute()
        environment = job_environment(run, rundir, directory, data, os.environ, tasks)
        needs = self._needs(run)
        gpus = self._gpus.take(run.processes, needs) if run.device != "cpu" else ()
        try:
            if gpus:
                environment[VISIBLE] = ",".join(gpus)
                with atomic(directory / GPUS) as file:
                    file.write(environment[VISIBLE].encode())
        except BaseException:
            self._gpus.give(gpus, needs)
            raise
        return self.start(
            rundir,
            directory,
            environment,
            run.cores if _wants_cores(run) else 0,
            lambda: self._gpus.give(gpus, needs),
        )

    def adopt(self, run: Run, rundir: RunDir, attempt: int) -> Job | None:
        """The attempt whose lock is still held, on the GPUs that it was given."""
        needs, gpus = self._needs(run), _given(rundir.attempt_path(attempt))
        job = self.living(rundir, attempt, lambda: self._gpus.give(gpus, needs))
        if job is not None and gpus:
            self._gpus.add(gpus, needs)
        return job

    def _needs(self, run: Run) -> int:
        return on_gpu(self._gpu_memory(run))


def job_environment(
    run: Run, rundir: RunDir, attempt: Path, data: Path, base: Mapping[str, str], tasks: str = "train,profile"
) -> dict[str, str]:
    """SageMaker's variables over those of ``base`` that are no secrets, and one share of the cores for every library
    that would take them all.

    A job has its own working directory, so every path is absolute.
    """
    home = rundir.path.absolute()
    return {
        **ALLOCATOR,
        **without_secrets(base),
        "PYTHONPATH": os.pathsep.join(str(Path(each).absolute()) for each in _path(base)),
        "SM_CHANNEL_CONFIG": str(home),
        "SM_CHANNEL_DATA": str(data.absolute()),
        "SM_OUTPUT_DATA_DIR": str(home),
        "SM_MODEL_DIR": str(home),
        "SM_OUTPUT_DIR": str(attempt.absolute()),
        "SM_CHECKPOINT_DIR": str(rundir.checkpoint.absolute()),
        "BENCHMARK_TASKS": tasks,
        **_pretrained(run),
        **threads(run.threads),
    }


def _pretrained(run: Run) -> dict[str, str]:
    """Where the weights are that the run begins with, and the features that a linear probe learns from."""
    place = weights.channel(run)
    return {
        **({"SM_CHANNEL_WEIGHTS": str(place)} if place else {}),
        **({FEATURES: str(cache_directory() / "features")} if run.probes else {}),
    }


def _given(attempt: Path) -> tuple[str, ...]:
    """The GPUs of an attempt; none where nothing tells."""
    try:
        return tuple((attempt / GPUS).read_text(encoding="utf-8").split(","))
    except (OSError, UnicodeDecodeError):
        return ()


def _path(base: Mapping[str, str]) -> list[str]:
    return [each for each in base.get("PYTHONPATH", "").split(os.pathsep) if each]


def _wants_cores(run: Run) -> bool:
    """A job on an accelerator has threads of its driver's, which should not share the worker's only core."""
    return run.device == "cpu" or not Path("/dev/nvidiactl").exists()
