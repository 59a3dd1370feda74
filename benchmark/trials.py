"""The trials of a search that chooses configurations: which there are so far, what they came to, and the next ones.

`search: {strategy: optuna, trials: 50, batch: 5}`: the first trials are drawn; each further batch is chosen when all
before it have ended, and stands in ``trials.json`` before one of its runs starts.  Who is killed and starts again goes
on with the same trials, and nobody but who chooses needs Optuna.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmark import proposing
from benchmark.config.experiment import SearchSettings
from benchmark.config.sampling import Shares
from benchmark.config.space import Space
from benchmark.durable import write_json
from benchmark.halving import best
from benchmark.journal import Journal
from benchmark.metric_names import METRICS
from benchmark.plan import Plan
from benchmark.preparing import UsageProblem
from benchmark.run import Run
from benchmark.rundir import BrokenFile

FILE = "trials.json"


def chosen(directory: Path, space: Space) -> tuple[Shares, ...]:
    """What has been chosen of ``space`` so far; trials of another space count for nothing.

    Raises:
        UsageProblem: the file is not ours, or no longer.
    """
    path = directory / FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = tuple(tuple(map(float, each)) for each in document["chosen"])
        same = document["space"] == space.digest
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageProblem(f"{path} cannot be read ({error}): remove it, and its trials are chosen anew") from None
    if same and not all(len(each) == len(space.axes) and all(0 <= share < 1 for share in each) for each in found):
        raise UsageProblem(f"{path} has trials that cannot be: remove it, and its trials are chosen anew")
    return found if same else ()


def go_on(plan: Plan, journal: Journal) -> bool:
    """Chooses the next batch where every run of the trials so far has an outcome: whether there is one."""
    search, space = plan.experiment.search, plan.experiment.space
    if space is None:
        return False
    outcomes = journal.outcomes()
    left = search.trials - len(space.tried)
    if left <= 0 or any(run.run_id not in outcomes for runs in plan.trials.values() for run in runs):
        return False
    done = {run_id for run_id, outcome in outcomes.items() if outcome.result}
    values = {
        shares: _value([run for run in plan.trials.get(shares, ()) if run.run_id in done], search, journal)
        for shares in space.tried
    }
    further = proposing.propose(space, values, min(left, search.batch))
    if further:
        there = chosen(plan.directory, space)
        write_json(plan.directory / FILE, {"space": space.digest, "chosen": [*there, *further]})
    return bool(further)


def _value(runs: Sequence[Run], search: SearchSettings, journal: Journal) -> float | None:
    """The mean over its finished runs of the best value that each had; ``None`` where none had one."""
    sign = -1 if METRICS[search.metric].better == "lower" else 1
    found = [value for run in runs if math.isfinite(value := _best(run, search.metric, sign, journal))]
    return fmean(found) if found else None


def _best(run: Run, metric: str, sign: int, journal: Journal) -> float:
    try:
        return best([each.metrics.get(metric) for each in journal.rundir(run).read_events()], sign)
    except BrokenFile:
        return -math.inf
