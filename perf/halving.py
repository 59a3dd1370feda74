"""Successive halving replayed over curves that are recorded: epochs saved, and how often another configuration wins.

    python perf/halving.py results/curves                       of an experiment that ran without a search
    python perf/halving.py results/curves --metric val/log_loss --reduction 2

Each trial takes one seed of every configuration, at random, so that luck is in it; the winner of a full run is the one
with the best validation value at its end.  *Wrong* is another winner; *loss* is by how much its test accuracy, the mean
over all seeds, is below that of the full run's winner.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmark.halving import Curve, replayed
from benchmark.journal import Journal
from benchmark.metric_names import sign_of
from benchmark.run import Run


@dataclass(frozen=True)
class Recorded:
    """The runs of each configuration, their curves, and each configuration's test accuracy."""

    seeds: dict[str, list[Run]]
    curves: dict[str, Curve]
    tested: dict[str, float]

    @classmethod
    def read(cls, results: Path, metric: str) -> Recorded:
        with Journal.read(results) as journal:
            done = {name: each.result for name, each in journal.outcomes().items() if each.result}
            runs = [run for run in journal.planned() if run.run_id in done]
            curves: dict[str, Curve] = {
                run.run_id: [event.metrics.get(metric) for event in journal.rundir(run).read_events()] for run in runs
            }
        seeds: dict[str, list[Run]] = defaultdict(list)
        for run in runs:
            seeds[run.configuration_id].append(run)
        tested = {
            name: statistics.fmean(done[run.run_id].metrics["test/accuracy"] or 0.0 for run in each)
            for name, each in seeds.items()
        }
        return cls(seeds, curves, tested)

    def best(self, some: list[Run], sign: int) -> Run:
        """The one with the best value of all its epochs."""
        return max(some, key=lambda run: max(sign * value for value in self.curves[run.run_id] if value is not None))


def main() -> int:
    """Prints a line for each reduction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--metric", default="val/accuracy")
    parser.add_argument("--reduction", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--trials", type=int, default=2000)
    chosen = parser.parse_args()
    found = Recorded.read(chosen.results, chosen.metric)
    count, runs, top = len(found.seeds), len(found.curves), max(found.tested.values())
    print(f"{count} configurations, {runs} runs; test accuracy {top:.1%} at best")
    for reduction in chosen.reduction:
        print(f"reduction {reduction}: {tried(found, chosen.metric, reduction, chosen.trials)}")
    return 0


def tried(found: Recorded, metric: str, reduction: int, trials: int) -> str:
    """What so many trials came to."""
    sign = sign_of(metric)
    order, wrong, spent, lost = random.Random(0), 0, 0.0, []
    for _ in range(trials):
        trial = [order.choice(each) for each in found.seeds.values()]
        finished, epochs = replayed(trial, found.curves, metric, reduction)
        full, winner = (found.best(some, sign) for some in (trial, [each for each in trial if each.run_id in finished]))
        spent += epochs / sum(len(found.curves[run.run_id]) for run in trial)
        wrong += winner != full
        lost.append(found.tested[full.configuration_id] - found.tested[winner.configuration_id])
    worst = statistics.quantiles(lost, n=20)[-1]
    return (
        f"{spent / trials:.0%} of the epochs, another winner in {wrong / trials:.0%} of {trials:,} trials, "
        f"test accuracy lower by {statistics.fmean(lost):.2%} in the mean, {worst:.2%} in the worst twentieth"
    )


if __name__ == "__main__":
    sys.exit(main())
