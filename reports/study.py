"""What a table's numbers are worth: intervals, the paired comparison of each row with the best, and who is tied.

    study(table, "test/accuracy").versus[row.configuration_id].tied

Computed from the per-image predictions that the run directories keep, so nothing is trained again.  How, and how well
that was tried, is in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

from reports.influence import has_values
from reports.leaderboard import Row, Table
from reports.packed import Packed
from reports.samples import Samples, read
from reports.statistics import (
    LEVEL,
    Difference,
    Sampled,
    Scale,
    difference,
    discordant,
    holm,
    interval,
    more_images,
    more_seeds,
    seeds_interval,
)  # fmt: skip

SPLITS = ("val", "test")
STUDIED = ("accuracy", "f1_macro", "roc_auc_macro", "log_loss")
"""Metrics that have intervals beside the primary one."""
Over = Literal["seeds and images", "images", "seeds"]


@dataclass(frozen=True)
class Interval:
    """A 95% interval of a configuration's mean, in the metric's own unit (fractions, not per cent), and what it takes
    as chance: ``images`` alone where there is one seed, ``seeds`` alone where there are no predictions."""

    low: float
    high: float
    over: Over


@dataclass(frozen=True)
class Versus:
    """A configuration against the best one of its table, in the primary metric.

    ``difference`` is this one's mean less the best's, with its 95% interval; ``p`` the two-sided p-value of ``test``
    and ``adjusted`` the same after Holm's correction over all ``Study.pairs``.  ``tied``: this pair alone is not told
    apart (``p >= 0.05``: the interval holds 0, or just not); ``apart``: it is, after correction.  What is neither is
    worse by its own test, and could be the chance of one among many pairs.  ``more_seeds`` is how many further seeds
    each would probably tell the two of a tie apart; ``more_images`` how many further test images, where no number of
    seeds would; both ``None`` where there is no tie, or where neither would help.
    """

    difference: float
    low: float
    high: float
    p: float
    adjusted: float
    test: str
    tied: bool
    apart: bool
    more_seeds: int | None = None
    more_images: int | None = None


@dataclass(frozen=True)
class Study:
    """Of one table.  ``best`` is the configuration id that ``versus`` compares with; ``intervals`` maps configuration
    id -> metric name -> interval; ``versus`` has no entry for the best and for rows that were not compared.  ``pairs``
    were compared in all.  ``notes`` say what the numbers do not cover, and why; ``troubles``, which runs were left out;
    ``answers``: configuration id -> which images its runs have right.
    """

    best: str | None = None
    intervals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    versus: Mapping[str, Versus] = field(default_factory=dict)
    pairs: int = 0
    notes: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    answers: Mapping[str, Packed] = field(default_factory=dict)

    @property
    def tied(self) -> tuple[str, ...]:
        """Configuration ids that are tied with the best, without it."""
        return tuple(key for key, each in self.versus.items() if each.tied)

    def interval(self, configuration_id: str, name: str) -> Interval | None:
        return self.intervals.get(configuration_id, {}).get(name)


def study(table: Table, primary: str) -> Study:
    """The study of ``table``'s ranked rows by the metric ``primary``."""
    metrics = _metrics(primary)
    samples = read(table, metrics) if metrics else Samples()
    intervals = {
        row.configuration_id: intervals_of(row, samples.rows.get(row.configuration_id, {})) for row in table.rows
    }
    best = table.ranked[0].configuration_id if table.ranked else None
    compared = {key: found[primary] for key, found in samples.rows.items() if primary in found}
    versus = _versus(best, compared, primary) if best in compared else {}
    pairs = len(compared) * (len(compared) - 1) // 2
    notes = tuple(_notes(table, samples, metrics, primary))
    return Study(best, intervals, versus, pairs if versus else 0, notes, tuple(samples.troubles), samples.answers)


def _metrics(primary: str) -> tuple[str, ...]:
    """Those of the primary metric's split that have per-image values; none where the primary itself has none."""
    split, _, name = primary.partition("/")
    if not has_values(name) or split not in SPLITS:
        return ()
    return tuple(dict.fromkeys([primary, *(f"{split}/{each}" for each in STUDIED)]))


def intervals_of(row: Row, sampled: Mapping[str, Sampled]) -> dict[str, Interval]:
    """Over seeds and images where there are predictions; else over the seeds, where there are several."""
    found = {}
    for name, each in row.metrics.items():
        if name in sampled:
            over: Over = "images" if sampled[name].seeds == 1 else "seeds and images"
            found[name] = Interval(*interval(sampled[name], scale_of(name)), over)
        elif _is_quality(name) and len(each.values) > 1:
            found[name] = Interval(*seeds_interval(each.values, scale_of(name)), "seeds")
    return found


def _versus(best: str, compared: Mapping[str, Sampled], primary: str) -> dict[str, Versus]:
    """Corrected over all pairs, not only those with the best: which one is best was seen in the same numbers."""
    differences = {(a, b): difference(compared[a], compared[b]) for a, b in combinations(compared, 2)}
    exact = primary.endswith("/accuracy")
    p_values = {pair: tested(each, compared[pair[0]], compared[pair[1]], exact) for pair, each in differences.items()}
    adjusted = dict(zip(p_values, holm([p for p, _ in p_values.values()]), strict=True))
    return {other: _against(compared[other], compared[best], p_values[pair], adjusted[pair])
            for pair in differences if best in pair and (other := pair[pair[0] == best])}  # fmt: skip


def tested(found: Difference, first: Sampled, second: Sampled, exact: bool) -> tuple[float, str]:
    """The p-value of a difference, and the test in words; ``exact``: McNemar's for two single runs, where values are
    0 and 1."""
    if exact and first.seeds == second.seeds == 1:
        gained, lost = int((first.means > second.means).sum()), int((first.means < second.means).sum())
        return discordant(gained, lost), "McNemar's exact test"
    return found.p, "paired z test over images" if found.seeds is None else "paired t test over seeds and images"


def _against(other: Sampled, best: Sampled, p: tuple[float, str], adjusted: float) -> Versus:
    found, tied = difference(other, best), p[0] >= LEVEL
    seeds = more_seeds(found, min(other.seeds, best.seeds)) if tied else None
    images = more_images(found) if tied and seeds is None else None
    return Versus(found.value, *found.limits, p[0], adjusted, p[1], tied, adjusted < LEVEL, seeds, images)


def _notes(table: Table, samples: Samples, metrics: Sequence[str], primary: str) -> Iterator[str]:
    if not metrics:
        yield f"{primary} has no values of single images, so rows are not compared by a test"
    if samples.unread:
        yield f"the last {samples.unread} rows were not compared: reports read the predictions of the best rows only"
    if samples.rows and all(row.n_seeds == 1 for row in table.ranked):
        yield "with one seed each, intervals and tests tell how these very networks differ, not how another seed would"


def scale_of(name: str) -> Scale:
    """Of a metric with its section."""
    rest = name.partition("/")[2]
    return "positive" if rest in {"log_loss", "ece", "loss"} else "any" if rest == "mcc" else "fraction"


def _is_quality(name: str) -> bool:
    return name.partition("/")[0] in SPLITS
