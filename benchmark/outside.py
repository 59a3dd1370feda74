"""What a user does to a sweep from outside: read the log of a run, stop a run or the sweep.

    python -m benchmark logs 3fa9c1 -f
    python -m benchmark stop 3fa9c1

A run is named by the beginning of its id, as in git.  A request to stop one is a file in its run directory, which the
sweep finds; the sweep itself is stopped by a signal to the process that holds the experiment's lock.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmark.lock import holder
from benchmark.plan import Plan
from benchmark.preparing import UsageProblem
from benchmark.run import Run
from benchmark.rundir import RunDir
from launch.aws_record import is_open
from launch.living import is_under_way

FOLLOW_SECONDS = 0.5
PART = 1 << 20
"""Bytes read at a time."""


def run_named(plan: Plan, names: Mapping[str, str], name: str) -> Run:
    """The run whose id begins with ``name``.

    Raises:
        UsageProblem: there is none, or more than one.
    """
    run_id = chosen_by_id(names, name)
    return next(run for run in plan.runs if run.run_id == run_id)


def chosen_by_id(names: Mapping[str, str], name: str) -> str:
    """The id, of those in ``names``, that begins with ``name``.

    Raises:
        UsageProblem: there is none, or more than one.
    """
    found = [run_id for run_id in names if name and run_id.startswith(name.lower())]
    if len(found) == 1:
        return found[0]
    listed = "".join(f"\n  {run_id}  {names[run_id]}" for run_id in (found or list(names))[:20])
    problem = "fits several runs" if found else "is the beginning of no run's id; the runs, by their ids, are"
    raise UsageProblem(f"{name!r} {problem}:{listed}")


def log(plan: Plan, run: Run, *, follow: bool = False) -> Iterator[bytes]:
    """The log of a run's latest attempt; with ``follow`` also what is still written to it, and to further attempts,
    until the run has ended.

    Raises:
        UsageProblem: the run has not been started.
    """
    rundir, attempt, place = _rundir(plan, run), 0, 0
    if not rundir.last_attempt:
        raise UsageProblem(f"run {run.run_id} has not been started")
    if is_open(rundir):  # it is written in AWS, and fetched when the job has ended
        yield from _remote_log(rundir, follow=follow)
        return
    while True:
        alive = follow and _is_alive(plan, rundir)  # looked at before reading: what is written until then is read
        if rundir.last_attempt != attempt:
            attempt, place = rundir.last_attempt, 0
        while part := _read(rundir.log_path(attempt), place):
            place += len(part)
            yield part
        if not alive:
            return
        time.sleep(FOLLOW_SECONDS)


def _remote_log(rundir: RunDir, *, follow: bool) -> Iterator[bytes]:
    from launch.aws_log import tail

    return tail(rundir, follow=follow)


def stop_run(plan: Plan, run: Run) -> str:
    """Asks the sweep to stop one run, which is then recorded as failed, of kind ``stopped``; what to say.

    Raises:
        UsageProblem: the run is not under way.
    """
    rundir = _rundir(plan, run)
    if not is_under_way(rundir):
        raise UsageProblem(f"run {run.run_id} is not under way")
    if holder(plan.directory) is None:
        raise UsageProblem(f"no sweep watches over run {run.run_id}: `run` adopts it, then `stop` stops it")
    rundir.ask_to_stop()
    return f"run {run.run_id[:6]} is being stopped; `run --retry {run.run_id[:6]}` starts it again"


def stop_sweep(plan: Plan, *, drain: bool = False) -> str:
    """Stops the sweep at once, or, with ``drain``, when what runs is finished; what to say.

    Raises:
        UsageProblem: no sweep is under way, or it is on another machine.
    """
    found = holder(plan.directory)
    if found is None:
        raise UsageProblem(f"no sweep is under way in {plan.directory}")
    if found.host != socket.gethostname():
        raise UsageProblem(f"the sweep is {found}: stop it there")
    os.kill(found.pid, signal.SIGINT if drain else signal.SIGTERM)
    how = "finishes what runs, then ends" if drain else "ends now"
    if left := sum(is_open(_rundir(plan, run)) for run in plan.runs):
        how = f"ends now and leaves {left} run{'s' * (left != 1)} in AWS (`stop RUN` stops one)"
    return f"{found} {how}; `run` goes on with what is left"


def _rundir(plan: Plan, run: Run) -> RunDir:
    return RunDir(plan.directory / "runs" / run.run_id)


def _is_alive(plan: Plan, rundir: RunDir) -> bool:
    """Whether more may be written: the job lives, or a sweep may try the run again."""
    if is_under_way(rundir):
        return True
    ended = (rundir.path / "result.json").exists() or (rundir.path / "failure.json").exists()
    return not ended and holder(plan.directory) is not None


def _read(path: Path, place: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(place)
            return file.read(PART)
    except FileNotFoundError:
        return b""
