"""A sweep in the background: the same command in a session of its own, its output in the experiment's directory."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import launch
from benchmark import children, words
from benchmark.errors import ENVIRONMENT
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
    ask: Callable[[str], object] = lambda line: None,
) -> tuple[str, int]:
    """Starts the command without ``--detach``; what to say when it holds the experiment, or is still preparing, and the
    exit code: of a command that has ended at once, its own words and code.

    Args:
        mode: over the YAML's.
        ask: whether money may be spent, on what a line says; it raises where not.

    Raises:
        ConfigError, DataError: what is wrong with the experiment, before anything is started.
        Busy: a sweep is under way already.
    """
    found = planned(experiment, settings, results)
    plan = found.plan
    if somebody := holder(plan.directory):
        raise Busy(f"{plan.directory} is in use by {somebody}; wait for it, or stop it")
    if launch.is_remote(mode or plan.experiment.launch.mode) and any(cell.state == "new" for cell in plan.cells):
        ask(words.plan_summary(plan.cells, found.estimate()))
    plan.directory.mkdir(parents=True, exist_ok=True)
    output = plan.directory / "output.txt"
    process = _begun(arguments, output)
    deadline = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if (somebody := holder(plan.directory)) and somebody.pid == process.pid:
            break
        time.sleep(FIRST_LOOK)
    if (code := process.returncode) is not None:
        said = output.read_text(encoding="utf-8", errors="replace").strip()
        return (said, code) if code >= 0 else (f"{said}\nit was ended by signal {-code}".strip(), ENVIRONMENT)
    name, followed = plan.experiment.name, "`status`, `logs RUN -f`, `stop`"
    return f"{name} runs in the background (process {process.pid}); its output: {output}; {followed}", 0


def _begun(arguments: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        return subprocess.Popen(
            children.command("benchmark", *(each for each in arguments if each != "--detach")),
            env=children.environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
