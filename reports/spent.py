"""What several runs cost together, from the ``cost/…`` values of their bills (:func:`benchmark.bill.costs`).

What is not known is counted, and never taken for 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reports.metrics import metric

Values = Mapping[str, float | None]


@dataclass(frozen=True)
class Spent:
    """``runs`` that have bills; ``known_usd`` dollars of those whose dollars are known, which ``unknown`` are not.

    ``billed_seconds`` are of all instances.  ``spot_savings`` is the share of the seconds on spot that was not billed.
    Both are ``None`` where a run does not tell, the savings also where nothing ran on spot.
    """

    runs: int
    unknown: int
    known_usd: float
    billed_seconds: float | None
    spot_savings: float | None

    @classmethod
    def of(cls, runs: Iterable[Values]) -> Spent | None:
        """From each run's values; ``None`` where no run has a bill."""
        billed = [values for values in runs if "cost/usd" in values]
        dollars = [found for values in billed if (found := values["cost/usd"]) is not None]
        seconds = _sum([values.get("cost/billed_seconds") for values in billed])
        unknown = len(billed) - len(dollars)
        return cls(len(billed), unknown, math.fsum(dollars), seconds, _savings(billed)) if billed else None

    @property
    def usd(self) -> float | None:
        """Dollars of all of them; ``None`` where those of any are not known."""
        return None if self.unknown else self.known_usd

    @property
    def words(self) -> str:
        saved = "" if self.spot_savings is None else f", spot saved {self.spot_savings * 100:.0f}%"
        return f"cost: {self._dollars}{saved}"

    @property
    def _dollars(self) -> str:
        known = metric("cost/usd").write(self.known_usd)
        if not self.unknown:
            return f"{known} in all"
        if self.unknown == self.runs:
            return "unknown"
        return f"at least {known}, unknown for {self.unknown} of {self.runs} runs"


def _savings(runs: Sequence[Values]) -> float | None:
    """Weighted by the seconds on spot; a run of which nothing began there saves nothing and hides nothing."""
    spot = [values for values in runs if "cost/spot_seconds" in values and values["cost/spot_seconds"] != 0]
    ran = _sum([values["cost/spot_seconds"] for values in spot])
    saved = _sum([_product(values["cost/spot_seconds"], values.get("cost/spot_savings")) for values in spot])
    return saved / ran if saved is not None and ran else None


def _product(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first * second


def _sum(values: Sequence[float | None]) -> float | None:
    return None if None in values else math.fsum(each for each in values if each is not None)
