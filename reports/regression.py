"""Has anything become worse?  Two leaderboards of one test set, configuration by configuration.

    changes = compare(read(Path("baseline")), read(Path("new")))

Where both run directories of a configuration are there, the test is paired by the images, as on the leaderboard; else
the means are taken as independent, with the standard errors that their intervals show, which finds less.  P-values are
corrected over all configurations (Holm).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from benchmark.rundir import BrokenFile, Predictions
from reports.influence import image_values
from reports.kept import BadLeaderboard, Kept, KeptRow
from reports.metrics import better
from reports.samples import ROUNDING
from reports.statistics import LEVEL, Part, Sampled, difference, discordant, holm, p_value

Verdict = Literal["regressed", "improved", "no difference shown", "same runs", "missing", "not ranked", "new"]
BAD: tuple[Verdict, ...] = ("regressed", "missing", "not ranked")
"""What fails a gate."""
PAIRED, UNPAIRED = "paired by image", "from the intervals"
_NORMAL = 1.959963984540054


@dataclass(frozen=True)
class Change:
    """Of one configuration; ``difference`` is new less old, with its 95% interval, and ``adjusted`` its p-value after
    correction, where both have a mean that can be tested; ``how`` says how it was."""

    data: str
    label: str
    verdict: Verdict
    old: float | None = None
    new: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    adjusted: float | None = None
    how: str = ""


def compare(old: Kept, new: Kept, tolerance: float = 0.0) -> tuple[Change, ...]:
    """The changes, those of the old leaderboard first, in its order.

    Args:
        old: the baseline.
        new: what it is compared with.
        tolerance: by how much a configuration may become worse, in the metric's own unit (fractions, not per cent).

    Raises:
        BadLeaderboard: they rank by different metrics, or were tested on different images.
    """
    if old.primary != new.primary:
        raise BadLeaderboard(f"{old.path} ranks by {old.primary}, {new.path} by {new.primary}")
    for data in old.digests.keys() & new.digests.keys():
        if old.digests[data] != new.digests[data]:
            raise BadLeaderboard(f"{old.path} and {new.path} have different images under the name {data!r} "
                                 f"({old.digests[data][:8]} and {new.digests[data][:8]})")  # fmt: skip
    changes = [_change(row, new.rows.get(key), old.primary) for key, row in old.rows.items()]
    changes += [_absent(row, "new") for key, row in new.rows.items() if key not in old.rows]
    return tuple(_judged(changes, 1 if better(old.primary) == "higher" else -1, tolerance))


def _change(old: KeptRow, new: KeptRow | None, primary: str) -> Change:
    if new is None:
        return _absent(old, "missing")
    change = Change(old.data, old.label, "no difference shown", old.mean, new.mean)
    if old.mean is None:
        return replace(change, verdict="new")
    if new.mean is None:
        return replace(change, verdict="not ranked")
    if old.run_ids == new.run_ids and old.mean == new.mean:
        return replace(change, verdict="same runs", difference=0.0)
    return _paired(change, old, new, primary) or _unpaired(change, old, new)


def _absent(row: KeptRow, verdict: Literal["missing", "new"]) -> Change:
    old, new = (row.mean, None) if verdict == "missing" else (None, row.mean)
    return Change(row.data, row.label, verdict, old, new)


def _paired(change: Change, old: KeptRow, new: KeptRow, primary: str) -> Change | None:
    """``None`` where not all predictions are there, of the same images, and those of the rows' means."""
    split, _, name = primary.partition("/")
    try:
        runs = [[each.read_predictions(split) for each in row.rundirs] for row in (new, old)]
    except BrokenFile:
        return None
    if not all(len(found) == row.seeds > 0 for found, row in zip(runs, (new, old), strict=True)):
        return None
    first = runs[0][0]
    if not all(_alike(first, each) for found in runs for each in found):
        return None
    sampled = [_sampled(found, name) for found in runs]
    if sampled[0] is None or sampled[1] is None:
        return None
    told = [math.isclose(sampled[0].mean, new.mean or 0, abs_tol=ROUNDING),
            math.isclose(sampled[1].mean, old.mean or 0, abs_tol=ROUNDING)]  # fmt: skip
    if not all(told):
        return None
    found = difference(sampled[0], sampled[1])
    exact = name == "accuracy" and sampled[0].seeds == sampled[1].seeds == 1
    p = discordant(*_disagreements(sampled[0], sampled[1])) if exact else found.p
    return replace(change, difference=found.value, low=found.limits[0], high=found.limits[1], p=p, how=PAIRED)


def _alike(first: Predictions, other: Predictions) -> bool:
    return np.array_equal(first.ids, other.ids) and np.array_equal(first.labels, other.labels)


def _sampled(runs: list[Predictions], name: str) -> Sampled | None:
    values = [found for each in runs if len(each.labels) > 1 and (found := image_values(name, each)) is not None]
    return Sampled.of(np.stack(values)) if len(values) == len(runs) else None


def _disagreements(first: Sampled, second: Sampled) -> tuple[int, int]:
    return int((first.means > second.means).sum()), int((first.means < second.means).sum())


def _unpaired(change: Change, old: KeptRow, new: KeptRow) -> Change:
    """Without an interval nothing can be shown."""
    assert old.mean is not None
    assert new.mean is not None
    change = replace(change, difference=new.mean - old.mean)
    if old.interval is None or new.interval is None:
        return change
    error = math.hypot(*((each[1] - each[0]) / 2 / _NORMAL for each in (old.interval, new.interval)))
    value = new.mean - old.mean
    p = p_value(value, [Part(error**2)])
    return replace(change, low=value - _NORMAL * error, high=value + _NORMAL * error, p=p, how=UNPAIRED)


def _judged(changes: list[Change], sign: int, tolerance: float) -> Iterator[Change]:
    """``sign``: 1 where more is better."""
    adjusted = iter(holm([each.p for each in changes if each.p is not None]))
    for each in changes:
        if each.p is None or each.difference is None:
            yield each
            continue
        p, better_by = next(adjusted), sign * each.difference
        verdict: Verdict = "no difference shown"
        if p < LEVEL and better_by < -tolerance:
            verdict = "regressed"
        elif p < LEVEL and better_by > 0:
            verdict = "improved"
        yield replace(each, adjusted=p, verdict=verdict)
