"""What the command line adds to the YAML of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmark.config import Experiment
from benchmark.publishing import Publishing
from benchmark.site import Interrupt


@dataclass(frozen=True)
class Earlier:
    """What the sessions of a search before this one leave: when the first began, by the monotonic clock, what may still
    publish the last one's runs, and how often the user has asked to stop."""

    began: float
    publishing: Publishing
    interrupt: Interrupt


@dataclass(frozen=True)
class Options:
    """What the command line adds to the YAML."""

    workers: int | None = None
    mode: str | None = None
    retry: tuple[str, ...] = ()
    rerun_stale: bool = False
    only: tuple[str, ...] = ()
    """Patterns of which runs to start; the leaderboard is always of the whole plan."""
    limit: int | None = None
    """At most so many of them."""
    on_interrupt: Literal["leave", "stop"] | None = None
    """What becomes of training jobs in AWS after Ctrl-C; ``None``: it is asked for."""
    max_time: float | None = None
    """Seconds after which what runs is stopped, to go on with the next command."""
    adapt: Callable[[Experiment], Experiment] = lambda experiment: experiment
    """Changes how the experiment is launched and tracked."""
    train: bool = True
    """Without it only what waits on disk is published."""
    earlier: Earlier | None = None

    @property
    def used_up(self) -> bool:
        """Whether neither a run nor a second is left."""
        return any(each is not None and each <= 0 for each in (self.limit, self.max_time))
