"""What a table's numbers are worth: intervals, the paired comparison of each row with the best, and who is tied.

    study(table, "test/accuracy").versus[row.configuration_id].tied

Computed from the per-image predictions that the run directories keep, so nothing is trained again.  How, and how well
that was tried, is in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Over = Literal["seeds and images", "images", "seeds"]


@dataclass(frozen=True)
class Interval:
    """A 95% interval of a configuration's mean, in the metric's own unit (fractions, not per cent), and what it takes
    as chance: ``images`` alone where there is one seed, ``seeds`` alone where there are no predictions."""

    low: float
    high: float
    over: Over


@dataclass(frozen=True)
class Versus:
    """A configuration against the best one of its table, in the primary metric.

    ``difference`` is this one's mean less the best's, with its 95% interval; ``p`` the two-sided p-value of ``test``
    and ``adjusted`` the same after Holm's correction over all ``Study.pairs``.  ``tied``: not told apart, which is
    ``adjusted >= 0.05``.  ``more_seeds`` is how many further seeds each of the two would probably tell them apart;
    ``more_images`` how many further test images, where no number of seeds would; both ``None`` where they are told
    apart already, or where neither would help.
    """

    difference: float
    low: float
    high: float
    p: float
    adjusted: float
    test: str
    tied: bool
    more_seeds: int | None = None
    more_images: int | None = None


@dataclass(frozen=True)
class Study:
    """Of one table.  ``best`` is the configuration id that ``versus`` compares with; ``intervals`` maps configuration
    id -> metric name -> interval; ``versus`` has no entry for the best and for rows that were not compared.  ``pairs``
    were compared in all.  ``notes`` say, for a reader, what was left out and why."""

    best: str | None = None
    intervals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    versus: Mapping[str, Versus] = field(default_factory=dict)
    pairs: int = 0
    notes: tuple[str, ...] = ()

    @property
    def tied(self) -> tuple[str, ...]:
        """Configuration ids that are tied with the best, without it."""
        return tuple(key for key, each in self.versus.items() if each.tied)

    def interval(self, configuration_id: str, name: str) -> Interval | None:
        return self.intervals.get(configuration_id, {}).get(name)
