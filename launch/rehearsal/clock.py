"""The time that jobs see: real seconds, or faster ones for simulations."""

from __future__ import annotations

import threading
import time


class Clock:
    """Starts at the real time and runs ``speed`` times as fast."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._began, self._start = time.time(), time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._began + (time.monotonic() - self._start) * self._speed

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Returns after ``seconds`` of this clock, or as soon as ``event`` is set: whether it is."""
        return event.wait(max(0.0, seconds) / self._speed)
