"""How many training jobs of an instance type may live at once: what the user says, and less where AWS refuses.

After a refusal (a quota) there are as many as were living then.  After a while one more is tried; where AWS takes it,
two more soon afterwards, then four, and so on: a quota that was raised is used within minutes, and one that stands
costs a call now and then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

FIRST_PAUSE, LONGEST_PAUSE = 15.0, 300.0
"""Seconds before a refused request is sent again, doubled each time."""
PROBE_SECONDS = 120.0
"""After so long without a refusal, one more is tried."""
GROW_SECONDS = 15.0
"""After so long with as many as were tried, which AWS has taken, twice as many more are."""


def now() -> float:
    """Seconds on a clock that never goes back."""
    return time.monotonic()


@dataclass
class Slots:
    """Of one instance type.  From several threads."""

    instance_type: str
    most: int
    clock: Callable[[], float] = now
    scale: float = 1.0
    """Of all times here."""
    living: set[str] = field(default_factory=set)
    _limit: int = field(init=False)
    _pause: float = field(init=False)
    _refused: float | None = None
    _changed: float = 0.0
    """Since when the limit is what it is, and known to be right or wrong."""
    _more: int = 1
    """So many are tried next."""
    _proven: bool = False
    """Whether AWS has taken as many as the limit allows since it was raised."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._limit, self._pause = self.most, FIRST_PAUSE * self.scale

    def take(self, name: str) -> bool:
        """Whether a job of this name may be created now; it then counts as living until it is given back."""
        with self._lock:
            self._recover()
            early = not self.living and self._refused is not None and self.clock() < self._refused + self._pause
            if name not in self.living and (early or len(self.living) >= self._limit):
                return False
            self.living.add(name)
            return True

    def found(self, name: str) -> None:
        """A job that lives already."""
        with self._lock:
            self.living.add(name)

    def give(self, name: str) -> None:
        with self._lock:
            self.living.discard(name)

    def created(self) -> None:
        """AWS took one."""
        with self._lock:
            self._pause = FIRST_PAUSE * self.scale
            if self._more > 1 and not self._proven and len(self.living) >= self._limit:
                self._proven, self._changed = True, self.clock()

    def refuse(self, name: str) -> int | None:
        """AWS refused one; the limit where it is lower than before, or was never told."""
        with self._lock:
            self.living.discard(name)
            known, before = self._refused is not None, self._limit
            if known and not self.living:
                self._pause = min(2 * self._pause, LONGEST_PAUSE * self.scale)
            self._limit = max(1, min(self._limit, len(self.living)))
            self._refused = self._changed = self.clock()
            self._more, self._proven = 1, False
            return self._limit if self._limit < before or not known else None

    def _recover(self) -> None:
        patience = GROW_SECONDS if self._proven else PROBE_SECONDS
        if self._limit < self.most and self.clock() > self._changed + patience * self.scale:
            self._limit, self._changed = min(self.most, self._limit + self._more), self.clock()
            self._more, self._proven = 2 * self._more, False
