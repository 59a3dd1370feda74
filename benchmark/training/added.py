"""Metrics that plug-ins bring, of the final evaluation."""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from benchmark.plugins import Plugin, found
from benchmark.run import Run
from benchmark.training.metrics import Scores


def added_scores(labels: npt.NDArray[Any], log_probs: npt.NDArray[Any]) -> Scores:
    """One value of each metric; what a metric does to the arrays is not seen by the others.

    Args:
        labels: true class indices, integers of shape (n,).
        log_probs: natural logarithms of the predicted probabilities, float32 of shape (n, k).
    """
    values: dict[str, float | None] = {}
    undefined: dict[str, str] = {}
    for name, plugin in found("metrics").items():
        values[name], reason = _value(plugin, labels.copy(), log_probs.copy())
        if reason:
            undefined[name] = reason
    return Scores(values, undefined)


def plugins_of(run: Run) -> tuple[Plugin, ...]:
    """Those that have a part in the result of ``run``."""
    model = found("models").get(run.model)
    return (*([model] if model else []), *found("metrics").values())


def _value(plugin: Plugin, labels: npt.NDArray[Any], log_probs: npt.NDArray[Any]) -> tuple[float | None, str]:
    try:
        value = float(plugin.load()(labels, log_probs))
    except Exception as error:  # a foreign function raises anything, and one metric is no reason to lose a run
        return None, str(error) or type(error).__name__
    return (value, "") if math.isfinite(value) else (None, f"{plugin.distribution} gives {value}")
