"""The time that jobs see: real seconds, or faster ones for simulations."""

from __future__ import annotations

import threading
import time

from launch.rehearsal.beat import Beat


class Clock:
    """Starts at the real time and runs ``speed`` times as fast, or as the ``beat`` does that other processes share."""

    def __init__(self, speed: float = 1.0, beat: Beat | None = None) -> None:
        self._speed, self._beat = speed, beat
        self._began, self._start = time.time(), time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        if self._beat:
            return self._began + self._beat.now()
        return self._began + (time.monotonic() - self._start) * self._speed

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Returns after ``seconds`` of this clock, or as soon as ``event`` is set: whether it is."""
        if self._beat:
            return self._beat.wait(event, seconds)
        return event.wait(max(0.0, seconds) / self._speed)
