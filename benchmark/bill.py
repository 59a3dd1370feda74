"""What SageMaker says that an attempt's training job cost: ``attempts/<n>/bill.json``, and what a run's bills come to.

    write_bill(rundir.attempt(1), Bill("ml.m5.xlarge", 1, billed_seconds=90, training_seconds=250, spot=True))
    costs(read_bills(rundir), Prices.shipped({}))     # {"cost/usd": 0.0067…, "cost/spot_savings": 0.64, …}

What is not known is ``None`` and makes the sum ``None``: a sum without it would be taken for the whole.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmark.durable import write_json
from benchmark.prices import Prices
from benchmark.records import SCHEMA_VERSION
from benchmark.rundir import RunDir, read_record

NAME = "bill.json"
PARTS = 1024
"""Of a second; a fraction that binary numbers hold exactly."""


@dataclass(frozen=True)
class Bill:
    """One training job.  Seconds are those of one of its ``instances``: ``billed_seconds`` (BillableTimeInSeconds, in
    which the discount of spot is contained) and ``training_seconds`` (TrainingTimeInSeconds); ``None``: not told.

    Raises:
        ValueError: there is no instance, or seconds are negative or not finite.
    """

    instance_type: str
    instances: int
    billed_seconds: float | None
    training_seconds: float | None
    spot: bool
    expected_seconds: float | None = None
    """As long as SageMaker has told none: what the job will come to, for whoever minds a budget."""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.instances < 1:
            raise ValueError(f"a job on {self.instances} instances")
        for seconds in (self.billed_seconds, self.training_seconds, self.expected_seconds):
            if seconds is not None and not 0 <= seconds < math.inf:
                raise ValueError(f"a job of {seconds} seconds")

    @property
    def billed(self) -> float | None:
        """Instance seconds that are paid for."""
        return None if self.billed_seconds is None else self.instances * self.billed_seconds

    @property
    def trained(self) -> float | None:
        """Instance seconds that the job ran."""
        return None if self.training_seconds is None else self.instances * self.training_seconds

    def dollars(self, prices: Prices) -> float | None:
        """Billed seconds at the price on demand, which is right for spot, too: its discount is in the seconds."""
        price = prices.price(self.instance_type)
        return None if self.billed is None or price is None else self.billed * price / 3600

    def likely_dollars(self, prices: Prices) -> float:
        """The same, or what is expected, or nothing where nothing is known."""
        known = self if self.billed_seconds is not None else self.settled(self.expected_seconds, self.training_seconds)
        return known.dollars(prices) or 0.0

    def foreseen(self, seconds: float) -> Bill:
        """The bill of a run that has ended in a job that goes on with others."""
        return dataclasses.replace(self, expected_seconds=seconds)

    def settled(self, billed: float | None, trained: float | None) -> Bill:
        """The same machines for other seconds."""
        return dataclasses.replace(self, billed_seconds=billed, training_seconds=trained, expected_seconds=None)


def divided(bill: Bill, seconds: Sequence[float]) -> list[Bill]:
    """The bill of a job that several runs share, for each of them: what belongs to the ``seconds`` that it has had, and
    an equal part of the rest, in which the job began and ended.

    Returns:
        as many bills, which come to the whole: to the last bit, where that is full seconds, since each is of full
        1024ths of one.
    """
    rest = max(0.0, (bill.training_seconds or 0.0) - math.fsum(seconds))
    weights = [each + rest / len(seconds) for each in seconds]
    billed, trained = _portions(bill.billed_seconds, weights), _portions(bill.training_seconds, weights)
    return [bill.settled(*each) for each in zip(billed, trained, strict=True)]


def _portions(whole: float | None, weights: Sequence[float]) -> Sequence[float | None]:
    if whole is None:
        return [None] * len(weights)
    total, units = math.fsum(weights), round(whole * PARTS)
    parts = [part / total if total else place / len(weights) for place, part in _sums(weights)]
    ends = [round(units * each) for each in parts]
    return [(end - start) / PARTS for start, end in pairwise([0, *ends])]


def _sums(weights: Sequence[float]) -> Iterator[tuple[int, float]]:
    return ((place, math.fsum(weights[:place])) for place in range(1, len(weights) + 1))


def write_bill(attempt_directory: Path, bill: Bill) -> None:
    """Writes it, or replaces it when more is known."""
    write_json(attempt_directory / NAME, dataclasses.asdict(bill))


def read_bills(rundir: RunDir) -> list[Bill]:
    """Those of all attempts of a run, in order; attempts without one, outside AWS, are left out.

    Raises:
        BrokenFile: one is unreadable, or no bill.
    """
    paths = [path for path in rundir.path.glob(f"attempts/*/{NAME}") if path.parent.name.isdigit()]
    return [read_record(path, Bill) for path in sorted(paths, key=lambda path: int(path.parent.name))]


def costs(bills: Sequence[Bill], prices: Prices) -> dict[str, float | None]:
    """The ``cost/…`` values of a run's bills, failed and interrupted attempts included; empty without bills.

    Returns:
        ``cost/usd``; ``cost/billed_seconds``, of all instances; and, where an attempt was on spot,
        ``cost/spot_seconds``, which these attempts ran, of all instances, and ``cost/spot_savings``, the share of
        them that was not billed.
    """
    if not bills:
        return {}
    found = {"cost/usd": _sum(each.dollars(prices) for each in bills), "cost/billed_seconds": _billed(bills)}
    spot = [each for each in bills if each.spot]
    return found | ({"cost/spot_seconds": _trained(spot), "cost/spot_savings": _saved(spot)} if spot else {})


def _saved(spot: Sequence[Bill]) -> float | None:
    """``None`` also where none of the jobs ever began."""
    billed, trained = _billed(spot), _trained(spot)
    return 1 - billed / trained if billed is not None and trained else None


def _billed(bills: Iterable[Bill]) -> float | None:
    return _sum(each.billed for each in bills)


def _trained(bills: Iterable[Bill]) -> float | None:
    return _sum(each.trained for each in bills)


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else math.fsum(each for each in known if each is not None)
