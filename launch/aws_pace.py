"""At most so many calls a second, of all jobs together: whoever wants to call is told how long until it is its turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from launch.aws_slots import now


@dataclass
class Pace:
    """``burst`` calls may follow at once where there were none for a while.  From several threads."""

    per_second: float
    burst: int = 4
    clock: Callable[[], float] = now
    _next: float = 0.0
    _turns: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def turn(self, name: str) -> float:
        """Seconds that ``name`` has to wait, and then ask again; 0: it is its turn, which is used up by that."""
        with self._lock:
            moment = self.clock()
            at = self._turns.pop(name, None)
            if at is None:
                at = max(self._next, moment - (self.burst - 1) / self.per_second)
                self._next = at + 1 / self.per_second
            if at <= moment:
                return 0.0
            self._turns[name] = at
            return at - moment

    def wait(self, name: str) -> None:
        """Returns when it is the turn of ``name``."""
        while seconds := self.turn(name):
            time.sleep(seconds)
