"""What time it is, for everything that one process writes down: the machine's clock as the process first saw it, and
from there on by a clock that nobody sets.  Else a run would last a day because somebody corrected the date."""

from __future__ import annotations

import functools
import os
import time


def now() -> float:
    """Unix seconds; never less than in an earlier call of this process."""
    return _midnight(os.getpid()) + time.monotonic()


@functools.cache
def _midnight(pid: int) -> float:
    """When the monotonic clock was at zero; of each process its own, as workers are forked from one that is older."""
    return time.time() - time.monotonic()
