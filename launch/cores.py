"""Which cores a worker may use: each gets its own, as long as there are enough."""

from __future__ import annotations

import os
from collections.abc import Collection


class Cores:
    """The processors of this process, lent to workers.

    A worker that would have to share gets none of its own, and runs wherever the kernel puts it.
    """

    def __init__(self, cores: Collection[int] | None = None) -> None:
        self._free = sorted(usable() if cores is None else cores)

    def take(self, count: int) -> tuple[int, ...]:
        """``count`` cores, or an empty tuple where there are not as many left."""
        if count > len(self._free):
            return ()
        taken, self._free = self._free[:count], self._free[count:]
        return tuple(taken)

    def withdraw(self, cores: Collection[int]) -> tuple[int, ...]:
        """Those of ``cores`` that are free, which another process was found to use."""
        taken = tuple(each for each in self._free if each in cores)
        self._free = [each for each in self._free if each not in taken]
        return taken

    def give(self, cores: Collection[int]) -> None:
        """A worker has ended."""
        self._free = sorted({*self._free, *cores})


def usable() -> Collection[int]:
    """The processors that this process may use; empty where the system cannot tell or bind."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()


def bind(cores: Collection[int]) -> None:
    """Keeps this process on ``cores``, if there are any."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def bound(pid: int) -> Collection[int]:
    """The cores that another process is kept on; empty where it may use all of ours, or is gone."""
    try:
        found = os.sched_getaffinity(pid) if hasattr(os, "sched_getaffinity") else set()
    except (ProcessLookupError, PermissionError):
        return ()
    return found if found < set(usable()) else ()
