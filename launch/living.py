"""Whether an attempt at a run lives, whatever way it was started."""

from __future__ import annotations

from benchmark.rundir import RunDir
from launch.attempts import is_locked
from launch.aws_record import is_open


def is_under_way(rundir: RunDir) -> bool:
    """A process of this machine holds the run's lock, or a training job in AWS has not been seen to end."""
    return (rundir.lock_path.exists() and is_locked(rundir)) or is_open(rundir)
