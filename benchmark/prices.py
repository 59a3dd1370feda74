"""What an hour of a SageMaker training instance costs.

    prices = Prices.shipped({"ml.g5.xlarge": 1.408})      # `aws: {prices: …}` of an experiment wins
    prices.price("ml.m5.xlarge")                          # 0.269

The table (``shipped/prices.csv``) is of one day and one region, which it tells; nobody is asked for newer ones.  What
is not in it has no price: ``None``, never 0.  Ground floor: standard library only.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from benchmark.installed import HERE

TABLE = HERE / "shipped" / "prices.csv"


@dataclass(frozen=True)
class Prices:
    """US dollars an hour of one instance, on demand, by instance type; ``overrides`` win over ``hourly``."""

    hourly: Mapping[str, float]
    as_of: date
    source: str
    region: str
    overrides: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, price in (*self.hourly.items(), *self.overrides.items()):
            if not (price > 0 and math.isfinite(price)):
                raise ValueError(f"{name} cannot cost {price} dollars an hour")

    @classmethod
    def shipped(cls, overrides: Mapping[str, float]) -> Prices:
        """The table that ships with the package.

        Raises:
            ValueError: a price of ``overrides`` is not above 0.
        """
        lines = TABLE.read_text(encoding="utf-8").splitlines()
        told = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
        rows = csv.DictReader(line for line in lines if not line.startswith("#"))
        hourly = {row["instance_type"]: float(row["usd_per_hour"]) for row in rows}
        return cls(hourly, date.fromisoformat(told["as_of"]), told["source"], told["region"], dict(overrides))

    def price(self, instance_type: str) -> float | None:
        """Of one instance; ``None`` where it is not known."""
        return self.overrides.get(instance_type, self.hourly.get(instance_type))

    @property
    def words(self) -> str:
        """When and where these were the prices."""
        own = ", and of aws.prices" if self.overrides else ""
        return f"prices of {self.as_of:%Y-%m}, {self.region}{own}"
