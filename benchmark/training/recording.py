"""Why a job failed, written down as far as the disk takes it."""

from __future__ import annotations

import contextlib
import os
import traceback

from benchmark.records import Failure
from benchmark.training.places import Places


def print_error(error: BaseException) -> None:
    with contextlib.suppress(OSError):  # the log may be on the disk that is full
        traceback.print_exception(error)


def write_failure(failure: Failure, places: Places) -> int:
    """Writes a failure as far as the disk takes it; the exit code."""
    try:
        places.rundir.write_failure(failure)
    except OSError:
        return os.EX_IOERR
    with contextlib.suppress(OSError):
        places.message.parent.mkdir(parents=True, exist_ok=True)
        places.message.write_text(f"{failure.kind}: {failure.message}"[:1024], encoding="utf-8")
    return 1
