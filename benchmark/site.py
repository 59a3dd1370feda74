"""What a sweep works with, and how: its site, its settings, and how often it was asked to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmark.attempt import Limits
from benchmark.budget import Budget
from benchmark.forecast import Forecast
from benchmark.journal import Journal
from benchmark.profiles import Profiles
from benchmark.publishing import Publishing
from benchmark.run import Run
from benchmark.searching import Searching
from launch import Launcher


@dataclass
class Interrupt:
    """How often the user asked to stop; raised by the signal handler, read by the sweep.  ``choice``: what then becomes
    of jobs that run elsewhere."""

    requests: int = 0
    choice: Literal["leave", "stop"] | None = None


@dataclass(frozen=True)
class Settings:
    """How many runs at once, how long one may take, how often one is retried, how much memory (bytes) they share, and
    how long the training may take in all (seconds).  ``growing`` says how many at once by what is known of them now,
    where that is to be learnt from those that have ended."""

    workers: int
    limits: Limits = field(default_factory=Limits)
    retries: int = 2
    memory: int | None = None
    most_seconds: float | None = None
    growing: Callable[[], int] | None = None


@dataclass(frozen=True)
class Site:
    """What a sweep works with.

    ``data`` gives the directory of a run's decoded images, ``names`` what people call a run; ``tasks`` are what each
    job does; without ``profiles`` no speed is measured apart from them.
    """

    journal: Journal
    launcher: Launcher
    publishing: Publishing
    data: Callable[[Run], Path]
    names: Mapping[str, str]
    forecast: Forecast
    profiles: Profiles | None = None
    tasks: str = "train"
    budget: Budget = field(default_factory=Budget)
    search: Searching | None = None


@contextmanager
def signals(interrupt: Interrupt) -> Iterator[None]:
    """Ctrl-C adds a request; SIGTERM stops at once."""

    def on_signal(signum: int, frame: object) -> None:
        interrupt.requests += 1 if signum == signal.SIGINT else 2

    before = {each: signal.signal(each, on_signal) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
