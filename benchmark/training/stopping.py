"""SIGTERM as an exception: a job that is asked to stop says so in its failure."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from benchmark.training.failures import Stopped


class Bell:
    """The handler of SIGTERM, which raises :class:`~benchmark.training.failures.Stopped` once.

    ``silent``: what happens already is the end of the process, and is not to be interrupted.  ``rung``: it rang while
    somebody was patient, who is to stop soon.
    """

    def __init__(self) -> None:
        self.silent = False
        self.rung = False
        self._patient = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.silent:
            return
        self.rung = True
        if not self._patient:
            self._stop()

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Inside, the bell only sets ``rung``; at the latest at the end, it is heard.

        Raises:
            Stopped: at the end, where it rang.
        """
        self._patient = True
        try:
            yield
        finally:
            self._patient = False
        if self.rung and not self.silent:
            self._stop()

    def _stop(self) -> None:
        self.silent = True
        raise Stopped(f"asked to stop by {signal.Signals.SIGTERM.name}")
