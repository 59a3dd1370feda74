"""Ranges as the values of an axis: ``{log: [1e-4, 1e-1], n: 4}``, ``{linear: [0, 0.5], n: 6}``.

Both ends are values.  Values are rounded to four significant digits (1e-3 is 0.001, not 0.0009999999999999998), and to
whole numbers for keys that hold these.  Without ``n`` a range is for a ``random`` matrix, which draws from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmark.config.document import Document, Node
from benchmark.config.layer import RunReader
from benchmark.config.problems import Problems, choose, shown

SCALES = ("linear", "log")
MOST_VALUES = 10_000
DIGITS = 4

Number = int | float


@dataclass(frozen=True)
class Spread:
    """The numbers from ``low`` to ``high``; ``whole`` ones where the key holds whole numbers."""

    scale: Literal["linear", "log"]
    low: float
    high: float
    whole: bool

    def at(self, share: float) -> Number:
        """The number at a share (0 to 1) of the way."""
        if self.scale == "log":
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else float(f"{value:.{DIGITS}g}")

    @property
    def size(self) -> float:
        """How many numbers there are; infinity where they are many."""
        if self.whole:
            return self.high - self.low + 1
        decades = {math.floor(math.log10(abs(end))) for end in (self.low, self.high) if end}
        if self.low <= 0 or len(decades) > 1:
            return math.inf
        step = 10.0 ** (decades.pop() + 1 - DIGITS)
        return round((self.high - self.low) / step) + 1 if step else math.inf

    def values(self, count: int) -> list[Number]:
        """So many numbers, at equal distances on the scale."""
        return [self.at(index / (count - 1)) for index in range(count)]


def is_spread(node: Node) -> bool:
    """Whether a mapping is meant as a range."""
    return isinstance(node.value, dict) and not node.value.keys().isdisjoint(SCALES)


def read_spread(key: str, node: Node, reader: RunReader) -> tuple[Spread, int | None] | None:
    """The range and its ``n``; ``None`` after adding problems."""
    wrong = Problems()
    for name in node.value:
        if name not in (*SCALES, "n"):
            wrong.add(node.key_mark(name), f"unknown key {shown(name)}{choose(name, (*SCALES, 'n'))}")
    kind = reader.keys.number(key)
    if kind is None:
        wrong.add(node.mark, f"{key} does not hold numbers; give a list of values")
    scales = [name for name in SCALES if name in node.value]
    if len(scales) == 2:
        wrong.add(node.mark, "a range is linear or log; give one of them")
    ends = _ends(node.child(scales[0]), scales[0] == "log", wrong)
    count = _count(node, wrong)
    reader.problems.extend(wrong.found)
    if wrong or ends is None:
        return None
    return Spread("log" if scales[0] == "log" else "linear", *ends, whole=kind is int), count


def nodes(values: Sequence[object], node: Node) -> list[Node]:
    """Values as if they stood one by one where ``node`` stands."""
    return [Document(node.document.path, each, {(): node.mark}).root for each in values]


def _ends(node: Node, positive: bool, problems: Problems) -> tuple[float, float] | None:
    value = node.value
    if not (isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[0] < value[1]):
        problems.add(node.mark, f"a range has two ends, the smaller first: [0.001, 0.1], not {shown(value)}")
        return None
    if positive and value[0] <= 0:
        problems.add(node.mark, f"a log range begins above 0, not at {shown(value[0])}")
    return float(value[0]), float(value[1])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _count(node: Node, problems: Problems) -> int | None:
    found = node.get("n")
    if found is None:
        return None
    if not isinstance(found.value, int) or isinstance(found.value, bool) or not 2 <= found.value <= MOST_VALUES:
        problems.add(found.mark, f"n must be a whole number from 2 to {MOST_VALUES:,}, not {shown(found.value)}")
        return None
    return found.value
