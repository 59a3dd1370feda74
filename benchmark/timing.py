"""Seconds of runs on this machine: from probes, corrected by what earlier sweeps here took.

Without a probe a run's seconds are those of a common core (:mod:`benchmark.effort`), times how much slower this machine
was in earlier sweeps, or is in the probes of other runs.  So all runs of a plan are in the same unit.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.durable import write_json
from benchmark.effort import Basis, Effort
from benchmark.probes import Probe
from benchmark.profiles import here
from benchmark.run import canonical_json

KEPT = 100
"""The latest so many runs of each kind count."""
FEW = 5
"""Fewer runs than these say nothing of how far a forecast may be off."""
PROBED, ROUGH = (0.7, 1.6), (0.5, 2.5)
"""By what a forecast may be off, at the least and at the most, before there is experience."""

Range = tuple[float, float]


@dataclass(frozen=True)
class Experience:
    """What runs took on this machine, over what was expected of them, by what the expectation was based on."""

    factors: Mapping[Basis, Sequence[float]]

    @classmethod
    def read(cls, cache: Path) -> Experience:
        """Empty where there is none, or none that can be read."""
        try:
            found = json.loads(_path(cache).read_text(encoding="utf-8"))
            return cls({"probe": [float(each) for each in found["probe"]], "rough": [float(e) for e in found["rough"]]})
        except (OSError, ValueError, KeyError, TypeError):
            return cls({"probe": [], "rough": []})

    def add(self, cache: Path, took: Iterable[tuple[Effort, float]]) -> None:
        """Keeps what runs took: efforts, and seconds."""
        factors = {basis: list(each) for basis, each in self.factors.items()}
        for effort, seconds in took:
            factors[effort.basis].append(seconds * effort.corrected / effort.seconds)
        write_json(_path(cache), {basis: each[-KEPT:] for basis, each in factors.items()})

    def factor(self, basis: Basis) -> float | None:
        """The usual one."""
        return statistics.median(self.factors[basis]) if self.factors[basis] else None

    def spread(self, basis: Basis) -> Range:
        """By what the usual one may be off: as eight of ten were."""
        known = sorted(self.factors[basis])
        if len(known) < FEW:
            return PROBED if basis == "probe" else ROUGH
        middle, tenth = statistics.median(known), len(known) // 10
        return known[tenth] / middle, known[-1 - tenth] / middle


def timed(
    efforts: Mapping[str, Effort], probes: Mapping[str, Probe], known: Experience
) -> tuple[dict[str, Effort], Range | None]:
    """Efforts, by run id, in seconds of this machine, and by what they may be off; ``None``: nothing is known of it."""
    probed = {run_id: efforts[run_id].probed(each.step, each.image) for run_id, each in probes.items()}
    pace = known.factor("rough")
    if pace is None and probed:
        pace = statistics.median(each.seconds / efforts[run_id].seconds for run_id, each in probed.items())
    usual = known.factor("probe") or 1.0
    found = {
        run_id: probed[run_id].times(usual) if run_id in probed else each.times(pace or 1.0)
        for run_id, each in efforts.items()
    }
    if pace is None:
        return found, None
    return found, known.spread("probe" if len(probed) == len(efforts) else "rough")


def _path(cache: Path) -> Path:
    machine = hashlib.sha256(canonical_json(dict(here())).encode()).hexdigest()[:16]
    return cache / "forecasts" / f"{machine}.json"
