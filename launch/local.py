"""Runs as SageMaker local-mode training jobs: containers of this machine's Docker engine.

Each attempt has a watcher, a host process as in mode ``fast_local`` (lock, session, log, adoption), which runs the
containers through the SageMaker SDK.  Whoever starts an attempt, or finds that its watcher is dead, removes what is
left of the containers first.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark import weights
from benchmark.run import Run
from benchmark.rundir import RunDir
from launch import Job, JobState, Unavailable, containers, deep_learning, engine
from launch.attempts import is_locked
from launch.container import CHANNELS, Request, clear
from launch.engine import IMAGE
from launch.host import ALLOCATOR, HostProcesses, Start, threads

ENTRY = Path(__file__).with_name("watch_container.py")
PRELOAD = ("launch.sagemaker_sdk", "launch.watch_container")
QUIET = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""For pandas' Arrow, which the SDK brings along."""
COMMAND = "exec python3 launch/bootstrap.py"
GRACE = 10.0
"""Seconds that a container has between TERM and KILL."""
COLLECTING_SECONDS = 30.0
"""For the watcher, after that, to move the outputs."""
LIBRARIES = "torch-image-benchmark.libraries"
"""A label: an image that has ``host`` here is given the libraries of this Python, read-only, instead of its own."""


class Local(HostProcesses):
    """The launcher of mode ``local``.

    Args:
        start: as for :class:`launch.host.HostProcesses`, of the watchers.
        image: of the containers; by default :data:`launch.engine.IMAGE`, which ``launch/Dockerfile`` makes.
        deep_learning_image: instead of ``image``: a version of PyTorch, whose Deep Learning Container is taken.
        memory_gib: that each container may use.
        hosts: containers that train a run together.
        network_isolation: containers that reach nothing but each other.
        grace: seconds that a container has between TERM and KILL.
        command: what a container runs, in the directory of our code.

    Raises:
        Unavailable: there is no engine, no compose or no image.
    """

    def __init__(
        self,
        start: Start = "auto",
        *,
        image: str | None = None,
        deep_learning_image: str | None = None,
        memory_gib: float | None = None,
        hosts: int = 1,
        network_isolation: bool = False,
        grace: float = GRACE,
        command: str = COMMAND,
    ) -> None:
        super().__init__(start, entry=ENTRY, preload=PRELOAD, grace=grace + COLLECTING_SECONDS, quiet=QUIET)
        if deep_learning_image:
            image = deep_learning.image(deep_learning_image, "ml.g5.xlarge" if _has_gpu() else "ml.m5.xlarge")
        self._image, self._hosts, self._isolated = image or IMAGE, hosts, network_isolation
        self._memory = None if memory_gib is None else int(memory_gib * 2**30)
        self._container_grace, self._command = grace, command
        found = engine.find(self._image)
        if isinstance(found, engine.Missing):
            raise Unavailable(f"mode local: {found}")
        self._user = "0:0" if found.rootless else f"{os.getuid()}:{os.getgid()}"
        self._libraries = _libraries() if containers.image_label(self._image, LIBRARIES) == "host" else None
        self._place = f"{self._image} {containers.image_id(self._image)}"
        self._common = _fixed(self._place, mounted=self._libraries is not None, isolated=network_isolation)

    @property
    def place(self) -> str:
        """The image, by name and digest."""
        return self._place

    def submit(self, run: Run, rundir: RunDir, attempt: int, data: Path, tasks: str = "train") -> Job:
        """Starts the job.

        Raises:
            BlockingIOError: another attempt at this run lives.
        """
        directory = rundir.attempt(attempt).absolute()
        request = self._request(run, rundir, directory, data, tasks)
        if not is_locked(rundir):
            _remove_leftovers(rundir)
        rundir.checkpoint.mkdir(parents=True, exist_ok=True)
        (directory / "config").mkdir(exist_ok=True)
        RunDir(directory / "config").write_run(run)
        request.write(directory)
        environment = {**os.environ, **threads(1)}
        return Contained(self.start(rundir, directory, environment, run.cores), request.name, directory)

    def adopt(self, run: Run, rundir: RunDir, attempt: int) -> Job | None:
        """The attempt whose watcher lives; containers without one are removed."""
        job = self.living(rundir, attempt)
        if job is None:
            _remove_leftovers(rundir)
            return None
        return Contained(job, _name(rundir, attempt), rundir.attempt_path(attempt).absolute())

    def _request(self, run: Run, rundir: RunDir, directory: Path, data: Path, tasks: str) -> Request:
        channels = {
            "config": str(directory / "config"),
            "data": str(data.absolute()),
            "checkpoints": str(rundir.checkpoint.absolute()),
        }
        if place := weights.channel(run):
            channels["weights"] = str(place)
        if self._libraries is not None:
            channels["libraries"] = str(self._libraries)
        return Request(
            name=_name(rundir, int(directory.name)),
            run=_digest(rundir),
            image=self._image,
            hosts=self._hosts,
            instance_type="local_gpu" if run.device != "cpu" and _has_gpu() else "local_cpu",
            command=self._command,
            channels=channels,
            environment={**self._common, **_environment(run, tasks)},
            user=self._user,
            memory=self._memory,
            isolated=self._isolated,
            grace=self._container_grace,
        )


@dataclass(frozen=True)
class Contained:
    """The job of a watcher, and of its containers."""

    watcher: Job
    name: str
    directory: Path

    def poll(self) -> JobState:
        """A watcher that was killed leaves containers and files behind: they end with it."""
        state = self.watcher.poll()
        if state.status == "ended":
            containers.remove(containers.ATTEMPT, self.name)
            clear(self.directory, self.name)
        return state

    def cancel(self) -> None:
        self.watcher.cancel()

    def cpu_seconds(self) -> float | None:
        """Of the containers; where this machine does not see their processes, nobody knows."""
        return containers.cpu_seconds(containers.named(containers.ATTEMPT, self.name))


def _environment(run: Run, tasks: str) -> dict[str, str]:
    """What the program of one run is told beside SageMaker's own variables."""
    return {**threads(run.threads), "BENCHMARK_TASKS": tasks}


def _fixed(place: str, *, mounted: bool, isolated: bool) -> dict[str, str]:
    """What every container is told."""
    libraries = {"PYTHONPATH": f"{CHANNELS}/libraries", "BENCHMARK_PYTHON": _python()} if mounted else {}
    return {
        **ALLOCATOR,
        **libraries,
        **({"BENCHMARK_ISOLATED": "1"} if isolated else {}),
        "BENCHMARK_IMAGE": place,
        "SM_CHECKPOINT_DIR": f"{CHANNELS}/checkpoints",
        "HOME": "/tmp",  # noqa: S108 - of the container, whose user may have no home
        "USER": "benchmark",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _has_gpu() -> bool:
    return Path("/dev/nvidiactl").exists()


def _libraries() -> Path:
    """Where this Python keeps the libraries of a job."""
    return Path(np.__file__).resolve().parent.parent


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _remove_leftovers(rundir: RunDir) -> None:
    """Of a run whose watcher is dead."""
    containers.remove(containers.RUN, _digest(rundir))
    for number in range(1, rundir.last_attempt + 1):
        clear(rundir.attempt_path(number).absolute(), _name(rundir, number))


def _digest(rundir: RunDir) -> str:
    """Of the place, since two experiments may have a run in common."""
    return hashlib.sha256(str(rundir.path.absolute()).encode()).hexdigest()[:12]


def _name(rundir: RunDir, attempt: int) -> str:
    return f"benchmark-{_digest(rundir)}-{attempt}"
