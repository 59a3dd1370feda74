"""Learning curves as numbers: each metric over epochs, seconds and dollars, the mean over the seeds.

Seconds are those of training, as the epochs have them.  The dollars of a run are spread evenly over its seconds, so
that the last epoch has cost all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.records import Event
from reports.html.numbers import rounded
from reports.html.reading import Lesson

POINTS = 80
"""Of a curve; of longer ones every second or third epoch is drawn, and the last."""
METRICS = ("val/accuracy", "val/balanced_accuracy", "val/f1_macro", "val/log_loss", "train/accuracy", "train/loss")


def curve(lessons: Sequence[Lesson], primary: str) -> dict[str, Any] | None:
    """``x``: epoch, seconds and usd -> values; ``y``: metric -> means, lowest and highest over the seeds, of the epochs
    that every seed has; ``None`` where there are none."""
    runs = [lesson for lesson in lessons if lesson.events]
    epochs = _shared([lesson.events for lesson in runs])
    if not epochs:
        return None
    at = [{event.epoch: event for event in lesson.events} for lesson in runs]
    seconds = [[_seconds(run, each[epoch]) for epoch in epochs] for run, each in zip(runs, at, strict=True)]
    values = {name: _metric([[each[epoch].metrics.get(name) for epoch in epochs] for each in at])
              for name in named(primary)}  # fmt: skip
    x = {"epoch": list(epochs), "seconds": _means(seconds), **_dollars(runs, seconds)}
    return {"x": x, "y": {name: each for name, each in values.items() if each}}


def named(primary: str) -> tuple[str, ...]:
    """The metrics of a curve, the one on validation that belongs to ``primary`` first."""
    return tuple(dict.fromkeys([f"val/{primary.partition('/')[2]}", *METRICS]))


def _shared(runs: Sequence[Sequence[Event]]) -> list[int]:
    common = sorted(set.intersection(*({event.epoch for event in events} for events in runs))) if runs else []
    step = -(-len(common) // POINTS)
    return sorted({*common[:: step or 1], *common[-1:]})


def _seconds(run: Lesson, event: Event) -> float:
    found = event.metrics.get("cost/train_seconds")
    return max(0.0, event.time - run.started) if found is None else found


def _dollars(runs: Sequence[Lesson], seconds: Sequence[Sequence[float]]) -> Mapping[str, list[float]]:
    known = [(run.usd, each) for run, each in zip(runs, seconds, strict=True) if run.usd is not None and each[-1] > 0]
    if len(known) < len(runs):
        return {}
    return {"usd": _means([[usd * second / each[-1] for second in each] for usd, each in known])}


def _metric(runs: Sequence[Sequence[float | None]]) -> dict[str, list[float | None]] | None:
    columns = list(zip(*runs, strict=True))
    whole = [None if None in column else [each for each in column if each is not None] for column in columns]
    if not any(whole):
        return None
    found = {"mean": [rounded(sum(each) / len(each)) if each else None for each in whole]}
    if len(runs) > 1:
        found["low"] = [rounded(min(each)) if each else None for each in whole]
        found["high"] = [rounded(max(each)) if each else None for each in whole]
    return found


def _means(runs: Sequence[Sequence[float]]) -> list[float]:
    return [float(f"{sum(column) / len(column):.4g}") for column in zip(*runs, strict=True)]
