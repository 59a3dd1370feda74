"""Runs in AWS and runs on this machine do not take each other's place: what is refused, and why."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmark.preparing import UsageProblem
from benchmark.run import Run
from benchmark.rundir import RunDir
from launch.aws_record import is_open
from launch.living import is_under_way


def check_living(runs: Iterable[Run], directory: Path, *, remote: bool) -> None:
    """Training jobs in AWS are taken up in mode aws only.

    Raises:
        UsageProblem: one may still run.
    """
    left = [] if remote else [run for run in runs if is_open(RunDir(directory / "runs" / run.run_id))]
    if left:
        raise UsageProblem(
            f"{len(left)} of these runs may still be under way in AWS (first: {left[0].run_id}): "
            "`run --mode aws` takes them up, and Ctrl-C there stops them"
        )


def check_over(run_ids: Iterable[str], directory: Path) -> None:
    """Raises:
    UsageProblem: a run may be under way, and would go on without anybody who knows of it.
    """
    for run_id in run_ids:
        rundir = RunDir(directory / "runs" / run_id)
        if is_open(rundir):
            raise UsageProblem(
                f"run {run_id} may still be under way in AWS: `run` takes it up, and Ctrl-C there stops it"
            )
        if is_under_way(rundir):
            raise UsageProblem(
                f"a process of this machine is still at work on run {run_id}: wait for it, or end it; "
                f"{rundir.attempt_path(rundir.last_attempt) / 'pid'} has its number"
            )


def check_instances(runs: Iterable[Run], *, remote: bool) -> None:
    """An instance type means nothing on this machine.

    Raises:
        UsageProblem: a run names one.
    """
    if not remote and (named := next((run.instance_type for run in runs if run.instance_type), None)):
        raise UsageProblem(f"instance_type: {named} is for mode aws; leave it out to run on this machine")
