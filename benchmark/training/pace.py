"""When training saves a checkpoint within an epoch: from time to time, and when it is asked to stop.

The end does not depend on it: a checkpoint holds all that training is, so that a run ends bit by bit the same wherever
it was saved and continued.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal

from benchmark.training.stopping import Bell

Wish = Literal["nothing", "save", "stop"]

SECONDS = 60.0
"""Between checkpoints; ``BENCHMARK_CHECKPOINT_SECONDS`` overrides it."""
SHARE = 50.0
"""The time between checkpoints is at least so many times what the last one took: saving costs at most 2%."""


class Pace:
    """Wishes for checkpoints, from a clock and the bell of SIGTERM.

    Args:
        bell: rings when the job is to stop.
        seconds: between checkpoints, at least.
        clock: seconds from any beginning.
    """

    def __init__(self, bell: Bell, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._bell, self._seconds, self._clock = bell, seconds, clock
        self._next = clock() + seconds

    @classmethod
    def of(cls, bell: Bell) -> Pace:
        return cls(bell, float(os.environ.get("BENCHMARK_CHECKPOINT_SECONDS", SECONDS)))

    def wish(self) -> Wish:
        """What is to be done after a step."""
        if self._bell.rung:
            return "stop"
        return "save" if self._clock() >= self._next else "nothing"

    def save(self, work: Callable[[], None]) -> None:
        """Does the work of saving, and sets when to save again."""
        started = self._clock()
        work()
        now = self._clock()
        self._next = now + max(self._seconds, SHARE * (now - started))

    def patience(self) -> AbstractContextManager[None]:
        """Inside, SIGTERM is a wish to stop after a step."""
        return self._bell.patience()
