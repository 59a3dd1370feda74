"""How long runs will take together, from their forecasts, on so many workers; what they will cost on instances."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmark.forecast import Forecast
from benchmark.progress import makespan
from benchmark.run import Run

Range = tuple[float, float, float]
"""What is expected, the least and the most that are likely."""


@dataclass(frozen=True)
class Estimate:
    """Wall seconds of training: what is expected, the least and the most that are likely."""

    seconds: float
    low: float
    high: float
    workers: int
    dollars: Range | None = None
    """What that costs: expected, least, most; ``None`` where the machine has no price."""
    unpriced: bool = False
    """Whether it costs money, and how much is not known."""


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


def dollars(
    runs: Sequence[Run],
    forecast: Forecast,
    hourly: Callable[[Run], float | None],
    overhead: Callable[[Run], float] = lambda run: 0.0,
) -> Range | None:
    """What ``runs`` will cost together where each has instances of its own, so that workers and order do not matter.

    Args:
        runs: any runs of the forecast.
        forecast: of their seconds, on these instances.
        hourly: dollars an hour of all instances of a run; ``None`` where that is not known.
        overhead: seconds of a run that are paid for beside the forecast's.

    Returns:
        ``None`` where the price or the forecast of any run is not known.
    """
    ranges = [_dollars(run, forecast, hourly(run), overhead(run)) for run in runs]
    known = [each for each in ranges if each is not None]
    if len(known) < len(ranges):
        return None
    expected, least, most = (math.fsum(each[place] for each in known) for place in range(3))
    return expected, least, most


def _dollars(run: Run, forecast: Forecast, price: float | None, overhead: float) -> Range | None:
    seconds, bounds = forecast.seconds(run), forecast.range(run)
    if price is None or seconds is None or bounds is None:
        return None
    expected, least, most = ((each + overhead) * price / 3600 for each in (seconds, *bounds))
    return expected, least, most
