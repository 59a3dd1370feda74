"""A sweep in the background: the same command in a session of its own, its output in the experiment's directory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import launch
from benchmark.lock import Busy, holder
from benchmark.planned import planned

STARTING_SECONDS = 120.0
"""So long a sweep may take to decode its images and take hold of the experiment before it is believed to work."""
FIRST_LOOK = 0.1


def start(
    arguments: Sequence[str],
    experiment: Path | None,
    settings: Sequence[str],
    results: Path,
    mode: str | None = None,
    ask: Callable[[], object] = lambda: None,
) -> tuple[str, int]:
    """Starts the command without ``--detach``; what to say when it holds the experiment, or is still preparing, and the
    exit code: of a command that has ended at once, its own words and code.

    Args:
        mode: over the YAML's.
        ask: whether money may be spent; it raises where not.

    Raises:
        ConfigError, DataError: what is wrong with the experiment, before anything is started.
        Busy: a sweep is under way already.
    """
    plan = planned(experiment, settings, results).plan
    if found := holder(plan.directory):
        raise Busy(f"{plan.directory} is in use by {found}; wait for it, or stop it")
    if launch.is_remote(mode or plan.experiment.launch.mode):
        ask()
    plan.directory.mkdir(parents=True, exist_ok=True)
    output = plan.directory / "output.txt"
    command = [sys.executable, "-m", "benchmark", *(each for each in arguments if each != "--detach")]
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    deadline = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if (found := holder(plan.directory)) and found.pid == process.pid:
            break
        time.sleep(FIRST_LOOK)
    if process.returncode is not None:
        return output.read_text(encoding="utf-8", errors="replace").strip(), process.returncode
    name, followed = plan.experiment.name, "`status`, `logs RUN -f`, `stop`"
    return f"{name} runs in the background (process {process.pid}); its output: {output}; {followed}", 0
