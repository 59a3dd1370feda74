"""SIGTERM as an exception: a job that is asked to stop says so in its failure."""

from __future__ import annotations

import signal
from types import FrameType

from benchmark.training.failures import Stopped


class Bell:
    """The handler of SIGTERM, which raises :class:`~benchmark.training.failures.Stopped` once.

    ``silent``: what happens already is the end of the process, and is not to be interrupted.
    """

    def __init__(self) -> None:
        self.silent = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if not self.silent:
            self.silent = True
            raise Stopped(f"asked to stop by {signal.Signals(signum).name}")
