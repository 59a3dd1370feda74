"""Simulated time that several processes share, and that waits for the slowest of them.

Each process counts its beats in a file that all have mapped; the time is as far as the one that has counted least.  A
process that has more work than its machine can do beats more seldom, so that what is measured in this time is the
program and not the machine.  Before a process joins, and after it has left, the others do not wait for it, except that
nothing begins before all have joined once.
"""

from __future__ import annotations

import mmap
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BEAT_SECONDS = 0.01
"""Real ones, between two beats where there is nothing to do."""
BUSY = 0.7
"""Of a core: a process that needs more does not beat, and time stands still for all; so while it waits for a call."""
LONGEST_BUSY = 30
"""So many beats are left out in a row, and no more: who is always busy must see time pass, too."""
AHEAD = 2
"""Beats that one may be before the others."""
MOST_LOOKS, LONGEST_SECONDS = 0.25, 0.5
"""Who sleeps looks so seldom, in beats and in real seconds, whether it is time."""
PACE_BEATS = 10
"""Over so many beats it is measured how fast time goes."""
LEFT = float("inf")
_real_sleep, _real_time = time.sleep, time.monotonic  # whoever uses this may have others in their place


def make(path: Path, count: int) -> None:
    """A file for so many processes, each of which has yet to join."""
    path.write_bytes(struct.pack(f"{count}d", *[0.0] * count))


class Beat:
    """The place of one process, number ``mine``, in the file; ``speed`` are simulated seconds in a real one."""

    def __init__(self, path: Path, mine: int, speed: float) -> None:
        with path.open("r+b") as file:
            self._counts = memoryview(mmap.mmap(file.fileno(), 0)).cast("d")
        self._mine, self._step = mine, BEAT_SECONDS * speed
        self._ended = threading.Event()
        self._holders: set[int] = set()
        self._pace = BEAT_SECONDS
        self.beats = self.left_out = 0
        """How often time passed, and how often it stood still since this process was busy."""

    def join(self) -> None:
        """From now on time waits for this process."""
        threading.Thread(target=self._work, name="beat", daemon=True).start()

    def leave(self) -> None:
        """Time goes on without it."""
        self._ended.set()
        self._counts[self._mine] = LEFT

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within the block, a call that is waited for, time stands still; but not while this thread sleeps in it."""
        me = threading.get_ident()
        self._holders.add(me)
        try:
            yield
        finally:
            self._holders.discard(me)

    def now(self) -> float:
        """Simulated seconds since all have joined."""
        found = min(self._counts)
        return self._step * (found if found != LEFT else self.beats)

    def sleep(self, seconds: float) -> None:
        """Returns after so many simulated seconds."""
        end, me = self.now() + seconds, threading.get_ident()
        held = me in self._holders
        self._holders.discard(me)
        while (left := end - self.now()) > 0:
            _real_sleep(self._some(left))
        if held:
            self._holders.add(me)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Returns after so many simulated seconds, or as soon as ``event`` is set: whether it is."""
        end = self.now() + seconds
        while (left := end - self.now()) > 0:
            if event.wait(self._some(left)):
                return True
        return event.is_set()

    def _some(self, left: float) -> float:
        """Real seconds in which hardly more than so many simulated ones will pass, as time went lately: who sleeps
        while it stands still does not look again and again whether it moves."""
        return min(max(left / self._step, MOST_LOOKS) * self._pace, LONGEST_SECONDS)

    def _work(self) -> None:
        counts, mine, skipped = self._counts, self._mine, 0
        began, seen = _real_time(), 0
        while not self._ended.is_set():
            cpu, before = time.process_time(), _real_time()
            _real_sleep(BEAT_SECONDS)
            busy = bool(self._holders) or time.process_time() - cpu > BUSY * (_real_time() - before)
            if busy and skipped < LONGEST_BUSY:
                skipped, self.left_out = skipped + 1, self.left_out + 1
            elif counts[mine] - min(counts) < AHEAD:
                skipped, self.beats = 0, self.beats + 1
                counts[mine] += 1.0
            if self.beats - seen >= PACE_BEATS:
                self._pace = max(BEAT_SECONDS, (_real_time() - began) / (self.beats - seen))
                began, seen = _real_time(), self.beats
