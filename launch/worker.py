"""The process of one attempt: ``python worker.py ATTEMPT CORES ENTRY``, or a child of the fork server.

Both ways begin alike: the process number is written beside the log, so that an orphan can be stopped; the process is
bound to its cores; and when memory runs out the kernel is to end it before the program that watches it.  Then the entry
script runs as if it had been started by itself.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import runpy
import sys
from collections.abc import Collection
from pathlib import Path

if __name__ == "__main__":
    # Run as a script, Python puts this folder first on the path, where `local.py` and others could shadow libraries.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmark import plainfile
from launch import cores

EXPENDABLE = "500"
"""Out of 1,000, which would always be the first to go."""


def settle(attempt: Path, own: Collection[int]) -> None:
    """Makes this process the one of an attempt, whose directory is ``attempt``."""
    with os.fdopen(plainfile.opened(attempt / "pid", os.O_WRONLY | os.O_TRUNC), "w") as file:
        file.write(str(os.getpid()))
    cores.bind(own)
    faulthandler.enable()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(EXPENDABLE)


def perform(entry: str) -> int:
    """Runs a script; its exit code."""
    sys.argv[:] = [entry]
    sys.path[0] = str(Path(entry).parent)
    try:
        runpy.run_path(entry, run_name="__main__")
    except SystemExit as end:
        return _code(end.code)
    return 0


def _code(code: object) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    settle(Path(sys.argv[1]), [int(each) for each in sys.argv[2].split(",") if each])
    sys.exit(perform(sys.argv[3]))
