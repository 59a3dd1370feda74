"""Runs as jobs of a SLURM cluster, through submitit, over a file system that its machines share.

    launch:
      mode: slurm
      workers: 20
      profile: false
      options: {folder: /shared/submitit, partition: gpu, cpus_per_task: 4, gpus_per_node: 1, timeout_min: 240}

``folder`` is submitit's, ``cluster`` is ``slurm``, or ``local`` for processes of this machine, and the others are
parameters of its ``AutoExecutor`` (``slurm_…`` included).  The results' directory and the cache of decoded images must
be on the shared file system, too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import submitit

from benchmark.durable import atomic
from benchmark.records import Failure, FailureKind
from benchmark.run import Run
from benchmark.rundir import RunDir
from launch import Job, JobState
from launch.attempts import is_locked, locked
from launch.fast_local import ENTRY, job_environment

RECORD = "submitit"
"""The file of an attempt with the job's number."""
LOCK_SECONDS = 30.0
"""So long a job waits for an earlier attempt at its run that is about to end."""
KINDS: Mapping[str, FailureKind] = {"TIMEOUT": "timeout", "OUT_OF_MEMORY": "oom"}
"""What SLURM says of a job's end; whatever else it says, the job was killed."""
JOBS = {"slurm": submitit.SlurmJob, "local": submitit.LocalJob}


class Slurm:
    """The launcher; what it takes says the module."""

    remote = False
    place = "slurm"

    def __init__(self, *, folder: str, cluster: str = "slurm", **parameters: Any) -> None:
        self._folder = str(Path(folder).expanduser().absolute())
        self._executor = submitit.AutoExecutor(self._folder, cluster=cluster)
        self._executor.update_parameters(**parameters)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Jobs go on: whoever runs the same command again adopts them."""

    def prepare(self) -> None:
        """Nothing takes time before the first job."""

    def fits(self, run: Run) -> bool:
        """SLURM has a queue."""
        return True

    def submit(self, run: Run, rundir: RunDir, attempt: int, data: Path, tasks: str = "train") -> Job:
        """Queues the job."""
        directory = rundir.attempt(attempt).absolute()
        environment = job_environment(run, rundir, directory, data, os.environ, tasks)
        job = self._executor.submit(execute, environment, str(rundir.path.absolute()), str(directory))
        with atomic(directory / RECORD) as file:
            file.write(str(job.job_id).encode())
        return Queued(job, rundir)

    def adopt(self, run: Run, rundir: RunDir, attempt: int) -> Job | None:
        """The job whose number was kept, while it is queued or runs."""
        try:
            number = (rundir.attempt_path(attempt) / RECORD).read_text()
        except FileNotFoundError:
            return None
        found = Queued(JOBS[self._executor.cluster](folder=self._folder, job_id=number), rundir)
        return found if found.poll().status == "running" else None

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def notices(self) -> Iterator[str]:
        return iter(())


class Queued:
    """A job in the queue, or at work; the handle can be made again from the job's number."""

    def __init__(self, job: submitit.Job[Any], rundir: RunDir) -> None:
        self._job, self._rundir = job, rundir

    def poll(self) -> JobState:
        """submitit asks SLURM about all jobs together, and not too often; a job at work holds its run's lock."""
        if not self._job.done() or is_locked(self._rundir):
            return JobState("running")
        state = self._job.state
        kind = KINDS.get(state, "killed")
        return JobState("ended", Failure(kind, f"job {self._job.job_id}: {state}", time=time.time()))

    def cancel(self) -> None:
        self._job.cancel(check=False)

    def cpu_seconds(self) -> float | None:
        """Unknown, so that silence is no reason to stop a job: it may be queued."""
        return None


def execute(environment: Mapping[str, str], run: str, attempt: str) -> None:
    """What the job does on its machine: the training program, its log beside what we keep of the attempt.  Where SLURM
    has bound GPUs to the job, its word counts, not ours."""
    own = {name: value for name, value in os.environ.items() if name.startswith(("SLURM_", "CUDA_"))}
    with locked(RunDir(Path(run)), LOCK_SECONDS) as lock, Path(attempt, "log.txt").open("wb") as log:
        subprocess.run(
            [sys.executable, str(ENTRY)], env={**environment, **own}, cwd=attempt, stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, pass_fds=[lock], check=False,
        )  # fmt: skip
