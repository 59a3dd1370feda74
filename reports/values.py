"""The metrics of one run, and of the seeds of one configuration together.

A value is never taken from fewer seeds than it seems: where one finished seed has a metric undefined, the mean is
undefined too, with the reason.  A metric that a run does not have at all (a profile not yet taken) does not count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmark.records import Result
from reports.aggregate import Aggregate, aggregate, undefined

Finished = tuple[int, Result, Mapping[str, float | None]]
"""A seed, its result and its profile."""

_UNTOLD = {
    "cost/usd": "no price of its instance type, or no billed seconds",
    "cost/billed_seconds": "SageMaker did not tell them",
    "cost/spot_seconds": "SageMaker did not tell them",
    "cost/spot_savings": "no seconds on spot, or SageMaker did not tell them",
}
"""Reasons for what is recorded beside a result, which itself knows none."""


def all_metrics(result: Result | None, profile: Mapping[str, float | None]) -> dict[str, float | None]:
    """The metrics of one run, its profile's included; what is not finite counts as undefined."""
    merged = {**(result.metrics if result else {}), **profile}
    return {name: value if value is not None and math.isfinite(value) else None for name, value in merged.items()}


def reason_without(name: str, result: Result, profile: Mapping[str, float | None]) -> str:
    """Why the run has no value for the metric ``name``."""
    if name in result.undefined:
        return result.undefined[name]
    if name in profile and name in _UNTOLD:
        return _UNTOLD[name]
    value = result.metrics.get(name)
    if value is not None:
        return f"the value is {value}"
    return "undefined" if name in result.metrics else "not recorded"


def aggregates(runs: Sequence[Finished]) -> dict[str, Aggregate]:
    """Metric name -> its aggregate over the seeds, in the order of ``runs``."""
    metrics = [all_metrics(result, profile) for _, result, profile in runs]
    names = dict.fromkeys(name for each in metrics for name in each)
    return {name: _aggregate(name, runs, metrics) for name in names}


def _aggregate(name: str, runs: Sequence[Finished], metrics: Sequence[Mapping[str, float | None]]) -> Aggregate:
    pairs = [(run, each[name]) for run, each in zip(runs, metrics, strict=True) if name in each]
    without = [run for run, value in pairs if value is None]
    if without:
        reasons = {reason_without(name, result, profile): seed for seed, result, profile in reversed(without)}
        return undefined("; ".join(f"seed {seed}: {reason}" for reason, seed in sorted(reasons.items())))
    return aggregate([value for _, value in pairs if value is not None])
