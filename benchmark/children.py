"""Programs of this package in processes of their own: how they are called, and how they answer.  Ground floor.

What needs torch or other people's libraries is asked of a child, so that a command starts at once and survives them::

    subprocess.Popen(command("benchmark.training.probe"), env=environment(), ...)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
"""Where ``benchmark``, ``launch`` and ``reports`` are."""


def command(module: str, *arguments: str) -> list[str]:
    """Runs a module of ours.  ``-P``: the working directory may have a package of the same name."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """``variables``, with a path that leads to this very copy of the package, which may be a clone."""
    path = os.pathsep.join(filter(None, (str(ROOT), variables.get("PYTHONPATH"))))
    return {**variables, "PYTHONPATH": path}


def answers() -> TextIO:
    """In the child: standard output, for its answers alone; what a library prints goes to standard error instead."""
    file = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return file
