"""Numbers as the page carries them: no more digits than a plot shows."""

from __future__ import annotations

from collections.abc import Iterable


def rounded(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def per_mille(values: Iterable[float]) -> list[int]:
    """Fractions as whole thousandths."""
    return [round(value * 1000) for value in values]


def maybe(value: float | None) -> float | None:
    return None if value is None else rounded(value)
