"""The leaderboard of 1,000 and of 10,000 runs from our index, against `mlflow.search_runs` and against one SQL query.

    python perf/leaderboard.py
    python perf/leaderboard.py --runs 500 --rounds 3

The runs are made up, five seeds of each configuration, and stand in our journal and, as our sweeps publish them, in a
SQLite store of MLflow's that SQLite has analysed.  *Ours* reads the journal and makes the leaderboard: rows with
mean and spread of every metric, ranked, and what is left over.  *search_runs* gets a DataFrame of the same runs and
groups it for mean and standard deviation of the accuracy, as notebooks do.  The *bare query* has SQLite do that over
our journal, which is the limit.  CPU seconds in turns, in one process.  The queries of ours are counted, and those of
all that `report --from-mlflow` does: most of them are for the artifacts of the rows that are shown.
"""

# ruff: noqa: TID251

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import mlflow

from benchmark import collector, from_mlflow
from benchmark.boards import board
from benchmark.mlflow_store import sqlite_uri
from perf.made_up import NAME, made_up
from perf.mlflow_rows import fill
from perf.rounds import in_turns, timed
from perf.sides import RATIO_GUARD, Figure, Side, finish, parser
from perf.statements import queries

LEAST, MANY = 15.0, 10_000
"""Times as fast as `search_runs`, of so many runs or more."""
MOST_GROWTH = 1.2
"""Of the time for each run: ten times as many runs may take twelve times as long."""
PAGE_QUERIES = 20.0
"""`report --from-mlflow` sends at most so many for each further page of 1,000 runs."""
BARE = """
SELECT configuration_id, COUNT(*), AVG(accuracy) AS mean, AVG(accuracy * accuracy) - AVG(accuracy) * AVG(accuracy)
FROM (
    SELECT configuration_id, json_extract(outcomes.document, '$.metrics."test/accuracy"') AS accuracy
    FROM runs JOIN outcomes USING (run_id) WHERE position IS NOT NULL
)
GROUP BY configuration_id ORDER BY mean DESC
"""


def main() -> int:
    """Prints lines for each number of runs; 1 where a limit is not kept."""
    options = parser(__doc__, guard=RATIO_GUARD)
    options.add_argument("--runs", type=int, nargs="+", default=[1_000, 10_000], help="multiples of 20")
    options.add_argument("--rounds", type=int, default=3)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        benches = [Bench(Path(scratch) / str(runs), runs, arguments.rounds) for runs in arguments.runs]
        figures = [each for bench in benches for each in bench.against_others()]
        figures += [each for fewer, more in pairwise(benches) for each in growth(fewer, more)]
    return finish("leaderboard", figures, arguments.json, arguments.guard)


class Bench:
    """So many runs, in our journal and in MLflow's store, and what was measured over them."""

    def __init__(self, home: Path, runs: int, rounds: int) -> None:
        home.mkdir()
        self.home, self.runs, self.uri = home, runs, sqlite_uri(home / "mlflow.db")
        self.plan = made_up(home, runs // 5)
        fill(self.uri, self.plan)
        sides = {
            "ours": partial(timed, self.ours),
            "search_runs": partial(timed, self.search),
            "bare query": partial(timed, self.bare, times=10),
        }
        self.seconds = in_turns(sides, rounds)

    def ours(self) -> None:
        with collector.paused():  # as the command does it
            board(self.plan, "")

    def search(self) -> None:
        mlflow.set_tracking_uri(self.uri)
        found = mlflow.search_runs(experiment_names=[NAME], max_results=10 * self.runs)
        groups = found.groupby(["params.model", "params.lr"])["metrics.test/accuracy"]
        assert len(groups.agg(["mean", "std"]).sort_values("mean")) == self.runs // 5

    def bare(self) -> None:
        with closing(sqlite3.connect(self.plan.directory / "journal.db")) as database:
            assert len(database.execute(BARE).fetchall()) == self.runs // 5

    def from_mlflow(self) -> None:
        from_mlflow.report(self.uri, NAME, self.home / "report", self.home / "results")

    def against_others(self) -> list[Figure]:
        ours, *others = self.seconds.values()
        least = {"search_runs": LEAST} if self.runs >= MANY else {}
        return [Figure(f"{self.runs:,} runs", "CPU seconds", ours, each, least=least.get(each.name)) for each in others]


def growth(fewer: Bench, more: Bench) -> list[Figure]:
    """Of seconds a run, and of queries."""
    few, many = (f"{each.runs:,} runs" for each in (fewer, more))
    each_run = [
        Side(f"of {name}", tuple(1000 * seconds / bench.runs for seconds in bench.seconds["ours"].values))
        for name, bench in ((many, more), (few, fewer))
    ]
    ours_few, ours_many = queries(fewer.ours), queries(more.ours)
    server_few, server_many = queries(fewer.from_mlflow), queries(more.from_mlflow)
    further = 1000 * (server_many - server_few) / (more.runs - fewer.runs)
    return [
        Figure("ours, run by run", "CPU ms a run", *each_run, least=1 / MOST_GROWTH),
        Figure("queries", "SELECTs", Side(many, (ours_many,)), Side(few, (ours_few,)), least=1),
        Figure("queries of `report --from-mlflow`", "SELECTs", Side(many, (server_many,)), Side(few, (server_few,))),
        Figure("of them for each further 1,000 runs", "SELECTs", Side("ours", (further,)), most=PAGE_QUERIES),
    ]


if __name__ == "__main__":
    sys.exit(main())
