"""Several data sets in one experiment: which configurations are good on all of them.

Ranks are means' ranks among the configurations that have a value on every data set, equal means sharing the average of
their places (Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmark.metric_names import sign_of
from reports.leaderboard import Leaderboard

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """A configuration over all data sets: ``win_rate`` is the share of comparisons, one for each other configuration
    and data set, that it wins, equal ones counting half; ``first`` on how many data sets no other is better."""

    label: str
    mean_rank: float
    win_rate: float
    first: int


def across(leaderboard: Leaderboard) -> tuple[Place, ...]:
    """The best first; empty where there are not two data sets that two configurations share.  Configurations of
    different data sets are the same where their labels are."""
    primary = leaderboard.header.primary
    means = [{row.label: mean for row in table.ranked if (mean := row.mean(primary)) is not None}
             for table in leaderboard.tables]  # fmt: skip
    shared = sorted(set.intersection(*map(set, means))) if len(means) > 1 else []
    if len(shared) < 2:
        return ()
    sign = sign_of(primary)
    wins = np.array([_wins(np.array([sign * each[label] for label in shared])) for each in means])
    most = len(shared) - 1
    places = [
        Place(label, float(np.mean(most - own + 1)), float(np.mean(own) / most), int((own == wins.max(axis=1)).sum()))
        for label, own in zip(shared, wins.T, strict=True)
    ]
    return tuple(sorted(places, key=lambda each: (each.mean_rank, each.label)))


HEADS = ("configuration", "mean rank ↓", "win rate ↑", "times best")


def cells(place: Place) -> tuple[str, str, str]:
    """How a page writes it, after the label."""
    return f"{place.mean_rank:.2f}", f"{place.win_rate * 100:.0f}%", str(place.first)


def explained(leaderboard: Leaderboard) -> str:
    """How to read the table."""
    return (
        f"Over {len(leaderboard.tables)} data sets, of configurations that have a rank on each: the mean of their "
        "ranks among one another, and the share of comparisons with another one on a data set that they win, equal "
        "means counting half."
    )


def _wins(scores: Floats) -> Floats:
    """How many others each beats, equal ones counting half."""
    above, equal = (scores[:, None] > scores).sum(axis=1), (scores[:, None] == scores).sum(axis=1) - 1
    return np.asarray(above + equal / 2)
