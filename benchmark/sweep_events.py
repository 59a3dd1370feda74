"""What a sweep tells while it works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.publishing import Published, Trouble
from benchmark.records import Event, Failure, Result
from benchmark.run import Run


@dataclass(frozen=True)
class Started:
    """An attempt began, or, with ``adopted``, one was found that an earlier sweep had begun; with ``promoted`` a search
    has let the run go on."""

    run: Run
    attempt: int
    adopted: bool
    promoted: bool = False


@dataclass(frozen=True)
class EpochDone:
    """A run ended an epoch."""

    run: Run
    event: Event


@dataclass(frozen=True)
class Ended:
    """An attempt ended; with ``retry`` the run is tried again."""

    run: Run
    outcome: Result | Failure
    retry: bool
    log: Path


@dataclass(frozen=True)
class Paused:
    """A run has got as far as a search let it go; it waits until others have, too."""

    run: Run
    epochs: int


@dataclass(frozen=True)
class Stopping:
    """Nothing more is started.  After Ctrl-C ``drain`` waits for what runs, ``kill`` does not; where jobs run
    elsewhere, ``ask`` may be answered by :class:`benchmark.sweep.Interrupt`, and ``leave`` leaves them running.
    ``disk``: it is full; ``time``: it is up, and what runs is stopped; ``budget``: a further run would exceed it."""

    how: Literal["drain", "kill", "ask", "leave", "disk", "time", "budget"]
    running: int


@dataclass(frozen=True)
class Measuring:
    """The speed of a model is measured, the ``number``-th of ``total``; nothing trains meanwhile."""

    run: Run
    number: int
    total: int


@dataclass(frozen=True)
class Notice:
    """Something happened that the user should know, and that changes no result."""

    message: str


SweepEvent = Started | EpochDone | Ended | Paused | Stopping | Measuring | Notice | Published | Trouble
