"""When training saves a checkpoint: from time to time, within an epoch or at its end, and when it is asked to stop.

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
"""The time between checkpoints is at least so many times what the last one took, so that saving costs at most 2%; but
at the end of an epoch none is older than a minute.  ``BENCHMARK_CHECKPOINT_SHARE`` overrides it; 0 saves each epoch."""
GUESS = 0.02
"""Seconds that the first one is taken to need: a run of less than a second has none, since it is sooner repeated."""


class Pace:
    """Wishes for checkpoints, from a clock and the bell of SIGTERM.

    Args:
        bell: rings when the job is to stop.
        seconds: between checkpoints within an epoch, at least; at the end of an epoch one is never older than that.
        clock: seconds from any beginning.
        share: between checkpoints, at least so many times what the last one took.
    """

    def __init__(
        self,
        bell: Bell,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
        share: float = SHARE,
    ) -> None:
        self._bell, self._seconds, self._clock, self._share = bell, seconds, clock, share
        self._next = clock() + seconds
        self._due = self._soon = clock() + min(seconds, share * GUESS)

    @classmethod
    def of(cls, bell: Bell) -> Pace:
        seconds = float(os.environ.get("BENCHMARK_CHECKPOINT_SECONDS", SECONDS))
        return cls(bell, seconds, share=float(os.environ.get("BENCHMARK_CHECKPOINT_SHARE", SHARE)))

    def wish(self) -> Wish:
        """What is to be done after a step."""
        if self._bell.rung:
            return "stop"
        return "save" if self._clock() >= self._next else "nothing"

    def due(self, last: bool = False) -> bool:
        """Whether to save at the end of an epoch, which may be the ``last``: then what was learnt is only to be tested,
        and worth a checkpoint if it took a second."""
        return self._bell.rung or self._clock() >= (min(self._soon, self._due) if last else self._due)

    def save(self, work: Callable[[], None]) -> None:
        """Does the work of saving, and sets when to save again."""
        started = self._clock()
        work()
        now = self._clock()
        worth = self._share * (now - started)
        self._next, self._due = now + max(self._seconds, worth), now + min(self._seconds, worth)
        self._soon = now + min(self._seconds, self._share * GUESS)

    def patience(self) -> AbstractContextManager[None]:
        """Inside, SIGTERM is a wish to stop after a step."""
        return self._bell.patience()
