"""Where a run was computed: provenance that is recorded and shown, and is no part of a run's identity.

The host's and the user's names are left out, since results are published.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from benchmark.machine import usable_cores
from benchmark.records import LIBRARIES

NAMED = (*LIBRARIES, "numpy")


def environment(device: torch.device | str = "cpu", plugins: str = "") -> dict[str, str | int | float]:
    """Versions, processor and device, for ``Result.environment``.

    Imports nothing for a version; a library that is not installed is left out.  Keys: ``python``, each of
    ``LIBRARIES``, ``platform``, ``cpu``, ``cpu_capability`` (the instructions that torch uses, which decide the last
    digits), ``cpus`` (those this process may use), ``threads`` (of one operation in torch), ``device`` (``cpu``, or
    the kind and name of the accelerator), in a container ``image`` (name and digest), in AWS ``instance`` (its
    type), and on CUDA its version as
    ``cuda``; ``plugins`` as given, where there are any.
    """
    device = torch.device(device)
    facts: dict[str, str | int | float] = {
        "python": platform.python_version(),
        **versions(),
        "platform": _PLATFORM,
        "cpu": cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpus": usable_cores(),
        "threads": torch.get_num_threads(),
        "device": device.type,
    }
    named = {name: os.environ.get(f"BENCHMARK_{name.upper()}") for name in ("image", "instance")}
    facts |= {name: value for name, value in named.items() if value}
    if device.type == "cuda":
        facts |= {"device": f"cuda: {torch.cuda.get_device_name(device)}", "cuda": str(torch.version.cuda)}
    return {**facts, "plugins": plugins} if plugins else facts


def versions() -> dict[str, str]:
    """Each of ``LIBRARIES`` that is installed, and its version."""
    return dict(_VERSIONS)


def cpu_name(path: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name for people, as Linux tells it in ``path``, else what the platform calls it."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _versions() -> Iterator[tuple[str, str]]:
    for name in NAMED:
        with contextlib.suppress(PackageNotFoundError):
            yield name, version(name)


# Looked up when this module is imported: a job that is forked from a process which has done so has them for nothing.
_VERSIONS = dict(_versions())
_PLATFORM = platform.platform()
