"""What a benchmark finds: two sides measured in one go, their ratio, and the limits that it keeps or does not.

arguments = parser(__doc__).parse_args()
figure = Figure("publishing to a file", "ms a run", Side("ours", found), Side("a call per value", theirs), most=80)
return finish("publishing", [figure], arguments.json)
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

LIBRARIES = ("torch", "torchvision", "timm", "mlflow", "numpy", "scikit-learn")
VERSIONS = ("python", *LIBRARIES)


@dataclass(frozen=True)
class Side:
    """One value of each round."""

    name: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def words(self) -> str:
        """Median, and the least and the largest where there are several."""
        spread = f" ({short(min(self.values))} to {short(max(self.values))})" if len(self.values) > 1 else ""
        return f"{short(self.median)}{spread}"


@dataclass(frozen=True)
class Figure:
    """Two sides in the same ``unit``.

    Args:
        other: what ours is compared with; ``None`` where only an absolute limit is asked for.
        most: of ours, at most (at least, where ``better`` is "higher").
        least: the ratio is at least so large.
    """

    what: str
    unit: str
    ours: Side
    other: Side | None = None
    most: float | None = None
    least: float | None = None
    better: Literal["lower", "higher"] = "lower"

    @property
    def ratio(self) -> float | None:
        """How many times better ours is: the median over the rounds where both sides were measured in turns."""
        if self.other is None:
            return None
        pairs = zip(self.ours.values, self.other.values, strict=False)
        alike = len(self.ours.values) == len(self.other.values)
        both = list(pairs) if alike else [(self.ours.median, self.other.median)]
        return statistics.median(other / ours if self.better == "lower" else ours / other for ours, other in both)

    @property
    def best_ratio(self) -> float | None:
        """That of the best value of either side: what other programs do meanwhile makes a value worse, never better."""
        if self.other is None:
            return None
        ours, other = self.ours.values, self.other.values
        return min(other) / min(ours) if self.better == "lower" else max(ours) / max(other)

    @property
    def kept(self) -> bool:
        """Whether every limit is."""
        return self.is_within(1.0)

    def is_within(self, times: float) -> bool:
        """Whether every limit is kept, made so many times as wide: by so much may other programs disturb."""
        ratio, median = self.ratio, self.ours.median
        if self.least is not None and (ratio is None or ratio * times < self.least):
            return False
        if self.most is None:
            return True
        return median <= self.most * times if self.better == "lower" else median * times >= self.most

    @property
    def line(self) -> str:
        """For a reader at a terminal."""
        limit = "" if self.most is None else f" [limit {short(self.most)}]"
        text = f"{self.what}: {self.ours.name} {self.ours.words}{limit}"
        if self.other is not None and self.ratio is not None:
            least = "" if self.least is None else f" [limit {short(self.least)}]"
            text += f", {self.other.name} {self.other.words}; ratio {short(self.ratio)}{least}"
        return f"{text} ({self.unit}, n = {len(self.ours.values)}){'' if self.kept else '  NOT KEPT'}"

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Figure:
        """As :func:`finish` wrote it."""
        sides = {
            key: Side(document[key]["name"], tuple(document[key]["values"]))
            for key in ("ours", "other")
            if document[key]
        }
        rest = {key: document[key] for key in ("what", "unit", "most", "least", "better")}
        return cls(**rest, **sides)


def parser(description: str | None, guard: str = "") -> argparse.ArgumentParser:
    """A script's options: those that all have, and ``--guard`` for machines where other programs run, if it has one.

    Args:
        description: the script's docstring.
        guard: what a guard of this script's means, for its help.
    """
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    if guard:
        found.add_argument("--guard", type=float, metavar="NUMBER", help=guard)
    return found


RATIO_GUARD = "only a smaller ratio than this is a failure"


def finish(
    benchmark: str, figures: Sequence[Figure], path: Path | None, guard: float | None = None, times: float = 1.0
) -> int:
    """Prints the figures and keeps them in ``path``.

    Args:
        guard: where other programs run meanwhile, only ratios that are smaller count as failures, of those that have a
            limit, if any has one.
        times: limits count so many times as wide (:meth:`Figure.is_within`).

    Returns:
        The exit code: 1 where a limit is not kept.
    """
    for each in figures:
        print(each.line)
    date, facts = time.strftime("%Y-%m-%d"), machine()
    print(where(date, facts), flush=True)
    if path is not None:
        document = {"benchmark": benchmark, "date": date, "machine": facts}
        document["figures"] = [asdict(each) for each in figures]
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if guard is not None:
        guarded = [each for each in figures if each.least is not None] or figures
        return int(any(each.ratio is not None and each.ratio < guard for each in guarded))
    return int(not all(each.is_within(times) for each in figures))


def machine() -> dict[str, Any]:
    """Where the figures are of; the load tells whether something else ran."""
    return {
        "cpu": cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name).partition("+")[0] for name in LIBRARIES},
    }


def where(date: str, facts: Mapping[str, Any]) -> str:
    """When and on what machine, and how busy it was."""
    versions = ", ".join(f"{name} {facts[name]}" for name in VERSIONS)
    return f"{date}, {facts['cores']} cores of {facts['cpu']}, load {facts['load']} at the end; {versions}."


def short(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cpu() -> str:
    """The type of processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
