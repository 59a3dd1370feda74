"""What a configuration answers to each test image, its seeds taken together.

Its answer is that of most of its seeds; of answers that equally many give, the one that is the most probable on
average.  The mean probability alone would be the answer of an ensemble, which none of the runs is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmark.records import Predictions
from benchmark.rundir import BrokenFile, RunDir
from reports.influence import right
from reports.leaderboard import Entry

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """Of ``seeds`` runs to n images of k classes: ``ids`` (n,) str; ``labels`` (n,) the true classes; ``told`` (n,) the
    answers; ``agreeing`` (n,) how many seeds are right; ``certainty`` (n,) the mean probability of the true class;
    ``confusion`` (k, k) counts, summed over the seeds."""

    ids: npt.NDArray[np.str_]
    labels: Integers
    told: Integers
    agreeing: Integers
    certainty: Floats
    confusion: Integers
    seeds: int

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.told == self.labels)


def read(entries: Sequence[Entry], split: str) -> Answers | None:
    """Of these finished runs; ``None`` where the predictions of one of them cannot be read."""
    try:
        return gather([RunDir(each.directory).read_predictions(split) for each in entries if each.directory])
    except (BrokenFile, ValueError, IndexError):
        return None


def gather(runs: Sequence[Predictions]) -> Answers | None:
    """Of runs over the same images in the same order; ``None`` of no runs.

    Raises:
        ValueError, IndexError: they are of other images or classes.
    """
    if not runs:
        return None
    n, k = runs[0].log_probs.shape
    labels, rows = runs[0].labels, np.arange(n)
    votes, sums, confusion = np.zeros((n, k), np.int32), np.zeros((n, k)), np.zeros((k, k), np.int64)
    for each in runs:
        told = each.log_probs.argmax(axis=1)
        votes[rows, told] += 1
        sums += np.exp(each.log_probs, dtype=np.float64)
        np.add.at(confusion, (labels, told), 1)
    means = sums / len(runs)
    told = (votes + np.minimum(means, 0.999)).argmax(axis=1)
    agreeing = np.sum([right(each) for each in runs], axis=0)
    return Answers(runs[0].ids, labels, told, agreeing, means[rows, labels], confusion, len(runs))


@dataclass(frozen=True)
class Flip:
    """An image that one of two configurations has right and the other wrong; classes are indices, ``*_right`` of how
    many seeds are, ``*_certainty`` the mean probability of the true class."""

    id: str
    true: int
    first: int
    second: int
    first_right: int
    second_right: int
    first_certainty: float
    second_certainty: float


@dataclass(frozen=True)
class Flips:
    """``lost``: right in the first and wrong in the second; ``gained``: the other way.  Those where the two differ most
    in the probability of the true class come first."""

    lost: tuple[Flip, ...]
    gained: tuple[Flip, ...]

    def __iter__(self) -> Iterator[Flip]:
        yield from self.lost
        yield from self.gained


def flips(first: Answers, second: Answers) -> Flips:
    """Of two sides that have answered the same images."""
    apart = first.certainty - second.certainty
    lost, gained = first.right & ~second.right, second.right & ~first.right
    return Flips(_flips(first, second, lost, -apart), _flips(first, second, gained, apart))


def _flips(first: Answers, second: Answers, chosen: npt.NDArray[np.bool_], order: Floats) -> tuple[Flip, ...]:
    places = np.flatnonzero(chosen)
    places = places[np.argsort(order[places], kind="stable")]
    return tuple(_flip(first, second, int(place)) for place in places)


def _flip(first: Answers, second: Answers, place: int) -> Flip:
    return Flip(
        str(first.ids[place]),
        int(first.labels[place]),
        int(first.told[place]),
        int(second.told[place]),
        int(first.agreeing[place]),
        int(second.agreeing[place]),
        float(first.certainty[place]),
        float(second.certainty[place]),
    )
