"""The per-class table of the page: how well the best rows know each class."""

from __future__ import annotations

import math

from reports.evidence import Evidence
from reports.metrics import metric
from reports.settings import ABSENT
from reports.tables import grid
from reports.text import markdown

CLASSES = 30
"""Rows; of more classes the worst."""


def per_class(evidence: Evidence) -> str:
    """F1 of each class in per cent, the hardest first, with its images; an empty text where nothing is known."""
    if not evidence.f1:
        return ""
    order = sorted(range(len(evidence.classes)), key=lambda index: (_mean(evidence, index), index))
    rows = [
        [markdown(evidence.classes[index], 40), f"{evidence.support[index]:,}"]
        + [_percent(values[index]) for values in evidence.f1.values()]
        for index in order[:CLASSES]
    ]
    head = ["class", "images", *(f"F1 % of {markdown(label, 60)}" for label in evidence.f1)]
    more = len(order) - CLASSES
    note = f"\n\nThe {CLASSES} hardest; {more} more are in evaluation.json of each run." if more > 0 else ""
    return grid(head, [":--", "--:", *["--:"] * len(evidence.f1)], rows) + note


def _mean(evidence: Evidence, index: int) -> float:
    known = [each for values in evidence.f1.values() if (each := values[index]) is not None]
    return math.fsum(known) / len(known) if known else math.inf


def _percent(value: float | None) -> str:
    return ABSENT if value is None else metric("test/f1_macro").write(value)
