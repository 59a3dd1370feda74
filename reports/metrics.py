"""How reports write each metric: the column's title with its arrow, the number's format.

Names and directions are those of :mod:`benchmark.metric_names`; ``test/accuracy`` and ``val/accuracy`` are written the
same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from benchmark.metric_names import METRICS, RANKABLE, Direction

ARROWS: dict[Direction | None, str] = {"higher": " ↑", "lower": " ↓", None: ""}


@dataclass(frozen=True)
class Metric:
    """``title`` heads a column, ``words`` stand in a sentence; ``direction`` is ``None`` where the table prefers
    neither (what describes a model is not its merit); ``write`` turns a value into text, in ``unit``, and ``missing``
    stands for a value that is not known."""

    title: str
    words: str
    direction: Direction | None
    write: Callable[[float], str]
    unit: str
    missing: str = "–"

    @property
    def points(self) -> bool:
        """A fraction, written in per cent."""
        return self.unit == "%"

    @property
    def heading(self) -> str:
        return f"{self.title}{ARROWS[self.direction]}"

    def scaled(self, value: float) -> float:
        """The value as it is drawn on an axis: fractions in per cent."""
        return value * 100 if self.points else value


def _percent(value: float) -> str:
    return f"{value * 100:.1f}"


def _fraction(value: float) -> str:
    """Three decimals, without the zero before the point: ``.998``, ``1.000``."""
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


def _short(value: float) -> str:
    """Two significant digits where small, one decimal where middling, whole and grouped where large."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 1 or value == 0:
        return f"{value:.1f}"
    decimals = 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{decimals}f}"


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else _short(value)


def _millions(value: float) -> str:
    return _short(value / 1e6)


def _billions(value: float) -> str:
    return _short(value / 1e9)


def _dollars(value: float) -> str:
    """Cents from a dollar on; below, three significant digits, and millionths at the least."""
    if value == 0 or value >= 0.995:
        return f"${value:,.2f}"
    return f"${value:.{min(6, 2 - math.floor(math.log10(value)))}f}"


Format = tuple[str, Callable[[float], str], str]
_QUALITY: dict[str, Format] = {
    "accuracy": ("accuracy %", _percent, "%"),
    "top5_accuracy": ("top-5 %", _percent, "%"),
    "balanced_accuracy": ("balanced %", _percent, "%"),
    "precision_macro": ("precision", _percent, "%"),
    "precision_weighted": ("precision (w)", _percent, "%"),
    "recall_macro": ("recall", _percent, "%"),
    "recall_weighted": ("recall (w)", _percent, "%"),
    "f1_macro": ("F1", _percent, "%"),
    "f1_weighted": ("F1 (w)", _percent, "%"),
    "roc_auc_macro": ("AUC", _fraction, ""),
    "log_loss": ("log loss", _fraction, ""),
    "loss": ("loss", _fraction, ""),
    "mcc": ("MCC", _fraction, ""),
    "ece": ("ECE", _fraction, ""),
}
_OTHERS: dict[str, Format] = {
    "model/parameters": ("params M", _millions, "M"),
    "model/macs": ("GMACs", _billions, "G"),
    "cost/train_seconds": ("train s", _seconds, "s"),
    "cost/epoch_seconds": ("epoch s", _seconds, "s"),
    "cost/cpu_seconds": ("CPU s", _seconds, "s"),
    "cost/peak_memory_bytes": ("memory MB", _millions, "MB"),
    "cost/kwh": ("kWh", _short, "kWh"),
    "cost/usd": ("cost", _dollars, ""),
    "cost/billed_seconds": ("billed s", _seconds, "s"),
    "cost/spot_seconds": ("spot s", _seconds, "s"),
    "cost/spot_savings": ("saved", _percent, "%"),
    "speed/images_per_second": ("img/s", _short, "/s"),
    "speed/train_images_per_second": ("train img/s", _short, "/s"),
    "speed/latency_ms_p50": ("latency ms", _short, "ms"),
    "speed/latency_ms_p95": ("p95 ms", _short, "ms"),
}
_MISSING = {"cost/usd": "unknown"}
"""Where a value is missing although something was spent; elsewhere a dash says that there is nothing."""
COLUMNS = (
    "test/accuracy",
    "test/precision_macro",
    "test/recall_macro",
    "test/f1_macro",
    "test/roc_auc_macro",
    "test/log_loss",
    "model/parameters",
    "model/macs",
    "cost/train_seconds",
    "cost/kwh",
    "cost/usd",
    "speed/images_per_second",
    "speed/latency_ms_p50",
)
"""The table's columns; the primary metric comes before them."""


def metric(name: str) -> Metric:
    """How the metric ``name``, such as ``test/accuracy``, is written.

    Raises:
        ValueError: no such metric.
    """
    known = METRICS.get(name)
    if known is None:
        raise ValueError(f"unknown metric {name!r}; known are {', '.join(METRICS)}")
    section, _, rest = name.partition("/")
    quality = section in {"train", "val", "test"}
    title, write, unit = (_QUALITY if quality else _OTHERS).get(rest if quality else name, (rest, _short, ""))
    title = title if section != "val" else f"val {title}"
    direction = None if section == "model" else known.better
    return Metric(title, known.title, direction, write, unit, _MISSING.get(name, "–"))


def better(name: str) -> Direction:
    """The direction in which a metric that can be ranked by is better.

    Raises:
        ValueError: rows cannot be ranked by it.
    """
    direction = METRICS[name].better if name in METRICS else None
    if direction is None:
        raise ValueError(f"rows cannot be ranked by {name!r}; choose one of {', '.join(RANKABLE)}")
    return direction
