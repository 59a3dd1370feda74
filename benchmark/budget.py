"""What an experiment has cost and will cost, against what it may cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmark.bill import costs, read_bills
from benchmark.forecast import Forecast
from benchmark.prices import Prices
from benchmark.run import Run
from benchmark.rundir import BrokenFile, RunDir

UNKNOWN: Mapping[str, float | None] = {"cost/usd": None}


@dataclass
class Budget:
    """``hourly`` gives the dollars that an hour of a run's machines costs, ``None`` where that is not known; ``limit``
    is in dollars, ``None``: none.  As it is made without arguments, it is of runs that cost nothing."""

    prices: Prices = field(default_factory=lambda: Prices.shipped({}))
    forecast: Forecast = field(default_factory=lambda: Forecast({}))
    hourly: Callable[[Run], float | None] = lambda run: None
    limit: float | None = None
    overhead: Callable[[Run], float] = lambda run: 0.0
    """Seconds of a run that are paid for beside the forecast's."""
    _paid: dict[str, float] = field(default_factory=dict)

    @property
    def spent(self) -> float:
        """Dollars, as far as they are known."""
        return math.fsum(self._paid.values())

    def costs(self, rundir: RunDir) -> Mapping[str, float | None]:
        """The ``cost/…`` values of a run, from the bills of all its attempts; from now on they are spent."""
        try:
            bills = read_bills(rundir)
        except BrokenFile:
            return UNKNOWN
        if bills:
            self._paid[rundir.path.name] = math.fsum(each.likely_dollars(self.prices) for each in bills)
        return costs(bills, self.prices)

    def expected(self, runs: Iterable[Run]) -> float:
        """Dollars that these runs will cost, as far as that is known."""
        seconds = ((run, (self.forecast.seconds(run) or 0.0) + self.overhead(run)) for run in runs)
        return math.fsum((self.hourly(run) or 0.0) * each / 3600 for run, each in seconds)

    def allows(self, run: Run, active: Sequence[Run]) -> bool:
        """Whether one more run is within the limit, beside what was spent and what runs."""
        return self.limit is None or self.spent + self.expected((*active, run)) <= self.limit
