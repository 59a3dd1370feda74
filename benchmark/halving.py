"""Successive halving: all configurations train for a while, the better ones go on (Jamieson and Talwalkar 2016,
arXiv:1502.07943; Li et al. 2018, arXiv:1603.06560).

    search: {strategy: halving, metric: val/accuracy, reduction: 3}

A configuration that trains E epochs in all is looked at after E/3^k, ..., E/9, E/3 of them.  At each of these *rungs*
the best third goes on, by the metric's best value so far, the mean over its seeds; the others stop.  Configurations
compete within one data set.  A rung is decided when all that have reached it are known, so that the decision depends on
the epochs alone, which are on disk: who is killed and starts again decides the same.

Pure: no file is read here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from benchmark.metric_names import sign_of
from benchmark.run import Run

Curve = Sequence[float | None]
"""A run's values of the metric, epoch by epoch; ``None`` where undefined."""


@dataclass(frozen=True)
class Pruned:
    """A configuration's runs that go no further, and why."""

    runs: tuple[Run, ...]
    why: str


@dataclass(frozen=True)
class Decision:
    """What goes on, in the order of the plan, and what does not."""

    promoted: tuple[Run, ...] = ()
    pruned: tuple[Pruned, ...] = ()


@dataclass
class Configuration:
    """The runs of one configuration: where they stand, and to which rung they may go."""

    runs: tuple[Run, ...]
    rungs: tuple[int, ...]
    """Epochs, the last of them all."""
    level: int = 0
    curves: dict[str, Curve] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    """Runs that compete with what they have, of which nothing more is to come."""
    lost: set[str] = field(default_factory=set)
    """Runs that do not compete any more."""
    out: bool = False
    """Whether a rung was the last."""

    @property
    def living(self) -> list[Run]:
        return [run for run in self.runs if run.run_id not in self.lost]

    @property
    def going(self) -> tuple[Run, ...]:
        """The runs that can have further epochs."""
        return tuple(run for run in self.living if run.run_id not in self.ended)

    @property
    def there(self) -> bool:
        """Whether every run that can has reached the rung."""
        return all(len(self.curves.get(run.run_id, ())) >= self.rungs[self.level] for run in self.going)

    def score(self, sign: int) -> float:
        """The larger the better; the mean over the seeds of the best value up to the rung."""
        values = [best(self.curves.get(run.run_id, ())[: self.rungs[self.level]], sign) for run in self.living]
        return fmean(values) if values else -math.inf


class Halving:
    """The state of a search over ``population``, in the order of the plan.

    Args:
        metric: of the epochs, such as ``val/accuracy``.
        reduction: one of so many goes on.
    """

    def __init__(self, population: Sequence[Run], metric: str, reduction: int) -> None:
        self._metric, self._reduction = metric, reduction
        self._sign = sign_of(metric)
        grouped: dict[str, dict[str, list[Run]]] = {}
        for run in population:
            grouped.setdefault(run.data_digest, {}).setdefault(run.configuration_id, []).append(run)
        self._groups = [
            [Configuration(tuple(runs), rungs(runs[0].epochs, reduction, len(group))) for runs in group.values()]
            for group in grouped.values()
        ]
        self._of = {run.run_id: each for group in self._groups for each in group for run in each.runs}

    @property
    def epochs(self) -> tuple[int, int]:
        """How many all runs together will train, and how many they would without a search; exact where all of a data
        set have equally many and none fails."""
        trained = whole = 0.0
        for group in self._groups:
            for each in group:
                left, before = len(group), 0
                for rung in each.rungs:
                    trained += len(each.runs) * (rung - before) * left / len(group)
                    left, before = math.ceil(left / self._reduction), rung
                whole += len(each.runs) * each.rungs[-1]
        return round(trained), round(whole)

    def until(self, run: Run) -> int | None:
        """After which epoch the run is to pause; ``None``: it may go to its end."""
        found = self._of.get(run.run_id)
        return None if found is None or found.level >= len(found.rungs) - 1 else found.rungs[found.level]

    def level(self, run: Run) -> int:
        """How many rungs the run has been let past."""
        found = self._of.get(run.run_id)
        return found.level if found else 0

    def know(self, run: Run, curve: Curve, *, ended: bool) -> None:
        """What a run has of its epochs; ``ended``: there will be no more, since it has its result, or was stopped by an
        earlier decision, which is then made once more."""
        if found := self._of.get(run.run_id):
            found.curves[run.run_id] = curve
            if ended:
                found.ended.add(run.run_id)

    def lose(self, run: Run) -> None:
        """A run will have no more epochs, and no result."""
        if found := self._of.get(run.run_id):
            found.lost.add(run.run_id)

    def decide(self) -> Decision:
        """What follows from what is known; each rung is decided once."""
        promoted: list[Run] = []
        pruned: list[Pruned] = []
        for group in self._groups:
            while decided := self._rung([each for each in group if not each.out and each.living]):
                promoted = [run for run in promoted if run not in decided.promoted] + list(decided.promoted)
                pruned += decided.pruned
        out = {run.run_id for each in pruned for run in each.runs}
        return Decision(tuple(run for run in promoted if run.run_id not in out), tuple(pruned))

    def _rung(self, contenders: list[Configuration]) -> Decision | None:
        """The lowest rung that is not decided, if all that are on it have reached it."""
        open_ = [each for each in contenders if each.level < len(each.rungs) - 1]
        level = min((each.level for each in open_), default=0)
        rung = [each for each in open_ if each.level == level]
        if not rung or not all(each.there for each in rung):
            return None
        ranked = sorted(rung, key=lambda each: -each.score(self._sign))  # stable: of equals the first of the plan
        kept = max(1, math.ceil(len(rung) / self._reduction))
        best = self._words(ranked[0])
        pruned = [Pruned(each.going, self._why(each, best, kept, len(rung))) for each in ranked[kept:]]
        for each in ranked[kept:]:
            each.out = True
        for each in ranked[:kept]:
            each.level += 1
        promoted = (run for each in rung if not each.out for run in each.going)
        return Decision(tuple(promoted), tuple(each for each in pruned if each.runs))

    def _why(self, each: Configuration, best: str, kept: int, count: int) -> str:
        return (
            f"stopped by the search after {each.rungs[each.level]} of {each.rungs[-1]} epochs: {self._metric} "
            f"{self._words(each)}, the best of {count} had {best}, and {kept} went on"
        )

    def _words(self, each: Configuration) -> str:
        score = each.score(self._sign)
        return "undefined" if math.isinf(score) else f"{self._sign * score:.4g}"


def best(curve: Curve, sign: int) -> float:
    """The largest of a curve's values times ``sign``; minus infinity where there is none."""
    return max((sign * value for value in curve if value is not None and math.isfinite(value)), default=-math.inf)


def rungs(epochs: int, reduction: int, configurations: int) -> tuple[int, ...]:
    """The epochs at which a run of so many is looked at, ascending, and its end: no more rungs than leave one of the
    configurations, and none before the first epoch."""
    found, left = [epochs], configurations
    while found[0] > 1 and left > 1:
        found.insert(0, math.ceil(found[0] / reduction))
        left = math.ceil(left / reduction)
    return tuple(dict.fromkeys(found))


def replayed(runs: Sequence[Run], curves: Mapping[str, Curve], metric: str, reduction: int) -> tuple[set[str], int]:
    """What the search would have done with curves that are known: the runs that would have got to their end, and the
    epochs that all would have trained."""
    search = Halving(runs, metric, reduction)
    spent = dict.fromkeys((run.run_id for run in runs), 0)
    living: Iterable[Run] = runs
    while living:
        for run in living:
            curve = curves[run.run_id]
            spent[run.run_id] = min(search.until(run) or len(curve), len(curve))
            search.know(run, curve[: spent[run.run_id]], ended=spent[run.run_id] == len(curve))
        living = search.decide().promoted
    return {run_id for run_id, epochs in spent.items() if epochs == len(curves[run_id])}, sum(spent.values())
