"""How long runs will take together: from their forecasts, on so many workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.forecast import Forecast
from benchmark.progress import makespan
from benchmark.run import Run


@dataclass(frozen=True)
class Estimate:
    """Wall seconds of training: what is expected, the least and the most that are likely."""

    seconds: float
    low: float
    high: float
    workers: int
    dollars: tuple[float, float, float] | None = None
    """What that costs: expected, least, most; ``None`` where the machine has no price."""


def estimate(
    runs: Sequence[Run], forecast: Forecast, workers: int, price_per_hour: float | None = None
) -> Estimate | None:
    """Of ``runs`` in the order in which they start; ``None`` where nothing is known, or there are none."""
    ranges = [
        (seconds, *bounds) for run in runs if (seconds := forecast.seconds(run)) and (bounds := forecast.range(run))
    ]
    if not runs or len(ranges) < len(runs):
        return None
    middle, low, high = (makespan([], [each[place] for each in ranges], workers) for place in range(3))
    hourly = price_per_hour or 0.0
    dollars = (middle / 3600 * hourly, low / 3600 * hourly, high / 3600 * hourly)
    return Estimate(middle, low, high, workers, dollars if hourly else None)
