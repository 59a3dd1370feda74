"""Containers of this machine's Docker engine, asked and told through its command line.

What belongs to an attempt bears two labels: one with the attempt's own name, one with its run's, so that whatever is
left of an attempt whose watcher was killed can be found and removed.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from launch import processes

ATTEMPT = "torch-image-benchmark.attempt"
RUN = "torch-image-benchmark.run"
ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class End:
    """How a container ended: its exit code, and whether it was killed for using too much memory."""

    code: int
    out_of_memory: bool


def named(label: str, value: str) -> list[str]:
    """The identifiers of the containers with this label, ended ones included."""
    return _docker("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={label}={value}").split()


def remove(label: str, value: str) -> None:
    """Kills and removes the containers and networks with this label; what cannot be removed now is left."""
    if found := named(label, value):
        _docker("rm", "--force", "--volumes", *found)
    if networks := _docker("network", "ls", "--quiet", "--filter", f"label={label}={value}").split():
        _docker("network", "rm", *networks)


def stop(names: Sequence[str], grace: float) -> None:
    """Sends TERM, and KILL after ``grace`` seconds; returns at once."""
    with contextlib.suppress(OSError):
        subprocess.Popen(
            ["docker", "stop", f"--time={grace:.0f}", *names],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def follow(name: str, log: IO[bytes]) -> None:
    """Writes what a container says, from its first word to its last, to ``log``; returns when it has ended."""
    written = 0
    with _logs("--follow", name) as live:
        while chunk := live.read(65536):
            log.write(chunk)
            written += len(chunk)
    with _logs(name) as whole:  # a last line without an end is not told to who follows
        log.write(whole.read()[written:])


def exists(name: str) -> bool:
    """Whether there is a container of this name."""
    return bool(_docker("container", "inspect", "--format", "{{.Id}}", name).strip())


def end(name: str) -> End | None:
    """How a container ended; ``None`` where there is none, or it runs."""
    try:
        state = json.loads(_docker("container", "inspect", "--format", "{{json .State}}", name))
    except ValueError:
        return None
    if state.get("Status") in ("created", "running", "restarting", "paused"):
        return None
    return End(int(state["ExitCode"]), bool(state["OOMKilled"]))


def cpu_seconds(identifiers: Sequence[str]) -> float | None:
    """Processor seconds of all processes in containers; ``None`` where this machine does not see them."""
    groups = {int(path.parent.name) for path in processes.PROC.glob("[0-9]*/cgroup") if _belongs(path, identifiers)}
    return sum(processes.cpu_seconds_of(pid) for pid in groups) if groups else None


def image_id(image: str) -> str:
    """The digest of an image on this machine, or an empty text."""
    return _docker("image", "inspect", "--format", "{{.Id}}", image).strip()


def image_label(image: str, label: str) -> str:
    """The value of an image's label, or an empty text."""
    return _docker("image", "inspect", "--format", f'{{{{ index .Config.Labels "{label}" }}}}', image).strip()


@contextlib.contextmanager
def _logs(*arguments: str) -> Iterator[IO[bytes]]:
    """In a group of its own: a signal for the watcher does not end it."""
    with subprocess.Popen(
        ["docker", "logs", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout


def _belongs(path: Path, identifiers: Sequence[str]) -> bool:
    try:
        text = path.read_text()
    except OSError:
        return False
    return any(each in text for each in identifiers)


def _docker(*arguments: str) -> str:
    """What the command prints; nothing where it fails."""
    try:
        done = subprocess.run(
            ["docker", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else done.stdout
