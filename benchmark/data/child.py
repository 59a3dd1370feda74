"""A child process that makes an export, for libraries that are too heavy for this one, or that keep state of their own.

It is started as ``python -m MODULE ARGUMENTS OUTPUT`` and says why it failed in ``OUTPUT/error.txt``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmark.children import command, environment
from benchmark.data.datacache import DataError

ERROR = "error.txt"
LENGTH = 4000


def run(module: str, *arguments: str, output: Path) -> None:
    """Starts the child and waits for it.

    Raises:
        DataError: it failed; the message is its own.
    """
    called = command(module, *arguments, str(output))
    child = subprocess.run(called, env=environment(), capture_output=True, check=False)
    if child.returncode:
        tail = child.stderr.decode(errors="replace").strip()[-LENGTH:]
        error = output / ERROR
        raise DataError(error.read_text(encoding="utf-8") if error.exists() else tail or "the child process was killed")


def main(make: Callable[[list[str], Path], None]) -> int:
    """What such a child does: ``make`` of its arguments and its output; the exit code."""
    *arguments, output = sys.argv[1:]
    try:
        make(arguments, Path(output))
    except DataError as error:
        return _failed(Path(output), str(error))
    except Exception as error:  # of other people's libraries, which read other people's files
        return _failed(Path(output), f"{type(error).__name__}: {error}")
    return 0


def _failed(output: Path, reason: str) -> int:
    (output / ERROR).write_text(reason[:LENGTH], encoding="utf-8", errors="backslashreplace")
    return 1
