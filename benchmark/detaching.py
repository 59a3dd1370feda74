"""A sweep in the background: the same command in a session of its own, its output in the experiment's directory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmark.lock import Busy, holder
from benchmark.planned import planned
from benchmark.preparing import UsageProblem

STARTING_SECONDS = 120.0
"""So long a sweep may take to decode its images and take hold of the experiment before it is believed to work."""
FIRST_LOOK = 0.1


def start(arguments: Sequence[str], experiment: Path | None, settings: Sequence[str], results: Path) -> str:
    """Starts the command without ``--detach``; what to say when it holds the experiment, or is still preparing.

    Raises:
        ConfigError, DataError: what is wrong with the experiment, before anything is started.
        Busy: a sweep is under way already.
        UsageProblem: the command ended at once; the message is what it said.
    """
    plan = planned(experiment, settings, results).plan
    if found := holder(plan.directory):
        raise Busy(f"{plan.directory} is in use by {found}; wait for it, or stop it")
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
    if process.returncode:
        raise UsageProblem(output.read_text(encoding="utf-8", errors="replace").strip())
    name = plan.experiment.name
    return (
        f"{name} runs in the background (process {process.pid}); its output: {output}; `status`, `logs RUN -f`, `stop`"
    )
