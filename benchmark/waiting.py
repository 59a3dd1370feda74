"""The runs that wait, and which of them starts next.

Every configuration has a first result early: the first seeds of all come before the second ones.  Among these the
longest expected run is first, so that no long one is left for the end; and one that would not fit into memory beside
those under way lets others pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from benchmark.forecast import Forecast
from benchmark.run import Run

SORT_SECONDS = 5.0
"""What finished runs teach changes the order at most so often."""
SORT_SHARE = 0.002
"""Of a processor, at most, for that: many runs are sorted more seldom."""


class Waiting:
    """Runs in the order in which they start.

    Args:
        runs: those to be run.
        forecast: of time and memory; it may learn meanwhile.
        memory: bytes that all runs under way may take together; ``None``: no limit.
    """

    def __init__(self, runs: Sequence[Run], forecast: Forecast, memory: int | None = None) -> None:
        self._rounds = seed_rounds(runs)
        self._forecast, self._memory = forecast, memory
        self._runs = list(runs)
        self._sorted, self._pause = -SORT_SECONDS, SORT_SECONDS
        self._later: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(tuple(self._runs))

    def put(self, run: Run, later: float = 0.0) -> None:
        """A run that is tried again, at the end of its round, and not before so many seconds have passed."""
        self._later[run.run_id] = time.monotonic() + later
        self._rounds.setdefault(run.run_id, 0)
        self._runs.append(run)

    def remove(self, run: Run) -> None:
        self._runs.remove(run)

    def take(self, active: Sequence[Run], fits: Callable[[Run], bool] = lambda run: True) -> Run | None:
        """The next run that fits beside ``active``, into memory and by what the launcher says; without any of those
        the first, however large."""
        self._sort()
        room = None if self._memory is None else self._memory - sum(map(self._forecast.memory, active))
        for run in self._runs:
            if self._later.get(run.run_id, 0.0) > time.monotonic():
                continue
            if not active or ((room is None or self._forecast.memory(run) <= room) and fits(run)):
                self._runs.remove(run)
                return run
        return None

    def _sort(self) -> None:
        now = time.monotonic()
        if now - self._sorted >= self._pause:
            self._sorted, before = now, time.thread_time()
            self._runs.sort(key=lambda run: (self._rounds[run.run_id], -self._forecast.weight(run)))
            self._pause = max(SORT_SECONDS, (time.thread_time() - before) / SORT_SHARE)


def seed_rounds(runs: Sequence[Run]) -> dict[str, int]:
    """Run id -> how many smaller seeds its configuration has among ``runs``."""
    seeds: dict[str, list[int]] = {}
    for run in runs:
        seeds.setdefault(run.configuration_id, []).append(run.seed)
    ranks = {name: {seed: rank for rank, seed in enumerate(sorted(each))} for name, each in seeds.items()}
    return {run.run_id: ranks[run.configuration_id][run.seed] for run in runs}
