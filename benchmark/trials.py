"""The trials of a search that chooses configurations: which there are so far, what they came to, and the next ones.

`search: {strategy: optuna, trials: 50, batch: 5}`: the first trials are drawn; each further batch is chosen when all
before it have ended, and stands in ``trials.json`` before one of its runs starts.  Who is killed and starts again goes
on with the same trials, and nobody but who chooses needs Optuna.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from benchmark import proposing
from benchmark.config.experiment import SearchSettings
from benchmark.config.sampling import Shares
from benchmark.config.space import Space
from benchmark.durable import write_json
from benchmark.halving import best
from benchmark.journal import Journal, Outcome
from benchmark.metric_names import sign_of
from benchmark.plan import Plan
from benchmark.preparing import UsageProblem
from benchmark.searching import curve

FILE = "trials.json"
"""Those that were chosen, by the digest of their space."""


@dataclass
class Fitting:
    """Whether trials can be trained beside those that were accepted, and why not.

    Args:
        problem: of accepted trials and a further one; ``None``: there is none.
        stopped: whether nobody waits for an answer any more.
    """

    problem: Callable[[Sequence[Shares], Shares], str | None]
    stopped: Callable[[], bool]
    accepted: list[Shares] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    exhausted: bool = False
    """Whether no further trial was found."""

    def __call__(self, shares: Shares) -> bool:
        if self.stopped():
            return False
        found = self.problem(self.accepted, shares)
        if found is None:
            self.accepted.append(shares)
        else:
            self.refused.append(found)
        return found is None

    @property
    def lines(self) -> list[str]:
        """For people."""
        count = len(self.refused)
        passed = f"the search passed over {count} trial{'s' * (count != 1)} that cannot be trained"
        found = [f"{passed} (the first: {self.refused[0]})"] if count else []
        return [*found, *(["the search ends: no further configuration was found"] if self.exhausted else [])]


def chosen(directory: Path, space: Space) -> tuple[Shares, ...]:
    """What has been chosen of ``space`` so far.

    Raises:
        UsageProblem: the file is not ours, or no longer.
    """
    path = directory / FILE
    try:
        found = tuple(map(tuple, _read(path).get(space.digest, ())))
        places = [share for each in found for share in each]
        if not all(len(each) == len(space.axes) for each in found) or not all(0 <= share < 1 for share in places):
            raise ValueError("it has trials that cannot be")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageProblem(f"{path} cannot be read ({error}): remove it, and its trials are chosen anew") from None
    return found


def go_on(plan: Plan, journal: Journal, fits: Fitting) -> bool:
    """Chooses the next batch where every run of the trials so far has an outcome: whether there is one."""
    search, space = plan.experiment.search, plan.experiment.space
    if space is None:
        return False
    outcomes, left = journal.outcomes(), search.trials - len(space.tried)
    if left <= 0 or any(run.run_id not in outcomes for runs in plan.trials.values() for run in runs):
        return False
    path = plan.directory / FILE
    if chosen(plan.directory, space) != space.sampling.chosen:
        return True  # somebody else has gone on since the plan was made
    further = proposing.propose(space, _values(plan, search, outcomes, journal), min(left, search.batch), fits)
    fits.exhausted = not further and not fits.stopped()
    if further and not fits.stopped():
        write_json(path, {**_read(path), space.digest: [*space.tried[search.drawn :], *further]})
    return bool(further) and not fits.stopped()


def _read(path: Path) -> dict[str, list[Shares]]:
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document


def _values(
    plan: Plan, search: SearchSettings, outcomes: Mapping[str, Outcome], journal: Journal
) -> dict[Shares, float | None]:
    """Of each trial the mean over its runs of the best value that each had, the larger the better; the worst of all
    where a run failed, and ``None`` where nothing is known."""
    assert plan.experiment.space is not None
    metric, sign = search.metric, sign_of(search.metric)
    found: dict[Shares, float | None] = dict.fromkeys(plan.experiment.space.tried)
    for shares, runs in plan.trials.items():
        done = all(outcomes[run.run_id].result for run in runs)
        values = (best(curve(journal.rundir(run), metric), sign) for run in runs)
        found[shares] = _mean(values) if done else -math.inf
    worst = min((value for value in found.values() if value is not None and math.isfinite(value)), default=None)
    return {shares: worst if value == -math.inf else value for shares, value in found.items()}


def _mean(values: Iterable[float]) -> float | None:
    found = [value for value in values if math.isfinite(value)]
    return fmean(found) if found else None
