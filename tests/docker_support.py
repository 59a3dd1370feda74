"""Containers for tests, where this machine can run them; `.ci/docker` makes the engine and the image ready."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from launch import containers, engine
from launch.engine import IMAGE, Missing
from launch.local import Local

ENGINE = pytest.mark.skipif(isinstance(engine.find(), Missing), reason=f"no Docker engine here: {engine.find()}")
CONTAINERS = pytest.mark.skipif(
    isinstance(engine.find(IMAGE), Missing), reason=f"no containers here: {engine.find(IMAGE)}"
)
STUB = "stub.py"


def docker(*arguments: str) -> list[str]:
    """The lines that the command prints."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.splitlines()


def ours(what: Sequence[str] = ("container", "network")) -> list[str]:
    """Every container and network on this machine that an attempt has left."""
    found: list[str] = []
    for each in what:
        command = ["ls", *(["--all"] if each == "container" else []), "--quiet"]
        found += docker(each, *command, "--filter", f"label={containers.ATTEMPT}")
    return found


COMMAND = f"exec python3 -u $SM_CHANNEL_CHECKPOINTS/{STUB}"
"""Instead of the training: what lies in the one writable channel."""


@functools.cache
def launcher(**settings: object) -> Local:
    """A launcher whose containers run :data:`STUB`; each kind imports the SDK once, and is warm from then on."""
    chosen: dict[str, object] = {"grace": 3.0, "command": COMMAND, **settings}
    return Local(**chosen)  # type: ignore[arg-type]


def put(checkpoint: Path, program: str) -> None:
    """Makes ``program`` the one that the next container runs."""
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / STUB).write_text(program)
