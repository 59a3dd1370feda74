"""What an experiment may cost: what is spent, what is expected, and what is not begun any more."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.aws_settings import AwsSettings
from benchmark.bill import Bill, write_bill
from benchmark.budget import Budget
from benchmark.config.experiment import Experiment, LaunchSettings
from benchmark.effort import Effort
from benchmark.forecast import Forecast
from benchmark.mlflow_store import sqlite_uri
from benchmark.paying import budget, hourly
from benchmark.plan import Plan, PlannedRun
from benchmark.preparing import UsageProblem
from benchmark.prices import Prices
from benchmark.records import Result
from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from benchmark.sweep import Ended, Interrupt, Started, Stopping, SweepEvent
from benchmark.waiting import Waiting
from tests.elsewhere import BILL, Elsewhere
from tests.test_sweep import run_of, store  # noqa: F401  (a fixture)

PRICES = Prices.shipped({"ml.test": 1.0})
RUNS = [Run(DataSpec("digits"), "lenet5", data_digest="d", seed=seed) for seed in range(6)]


def forecast(runs: Sequence[Run], seconds: float = 3600.0, *, known: bool = True) -> Forecast:
    efforts = {run.run_id: Effort(1e6, seconds, 2**20, 100, 100, 100) for run in runs}
    return Forecast(efforts, (), (1.0, 1.0) if known else None)


def of(limit: float | None, runs: Sequence[Run] = RUNS, *, price: float | None = 1.0, known: bool = True) -> Budget:
    """Of runs that take an hour."""
    return Budget(PRICES, forecast(runs, known=known), lambda run: price, limit)


def spend(rundir: RunDir, attempt: int, dollars: float | None, kind: str = "ml.test") -> None:
    seconds = None if dollars is None else dollars * 3600
    write_bill(rundir.attempt(attempt), Bill(kind, 1, seconds, seconds, False))


@pytest.fixture
def rundirs(tmp_path: Path) -> list[RunDir]:
    return [RunDir(tmp_path / "кот #1" / run.run_id) for run in RUNS]


def test_without_a_limit_everything_is_allowed(rundirs: list[RunDir]) -> None:
    found = of(None)
    spend(rundirs[0], 1, 1e6)
    found.costs(rundirs[0])
    assert found.allows(RUNS[0], RUNS[1:])
    assert Budget().allows(RUNS[0], RUNS[1:])


def test_one_more_run_is_allowed_up_to_the_limit_and_not_beyond(rundirs: list[RunDir]) -> None:
    found = of(3.0)
    assert found.expected(RUNS[:3]) == 3.0
    assert found.allows(RUNS[0], RUNS[1:3])
    assert not found.allows(RUNS[0], RUNS[1:4])
    spend(rundirs[5], 1, 1.5)
    assert found.costs(rundirs[5])["cost/usd"] == 1.5
    assert found.spent == 1.5
    assert found.allows(RUNS[0], [])
    assert not found.allows(RUNS[0], RUNS[1:2])


def test_what_is_not_known_is_expected_to_cost_nothing(rundirs: list[RunDir]) -> None:
    assert of(1.0, known=False).expected(RUNS) == 0.0
    assert of(1.0, price=None).expected(RUNS) == 0.0


def test_a_run_pays_for_its_attempts_once_however_often_it_is_looked_at(rundirs: list[RunDir]) -> None:
    found = of(10.0)
    spend(rundirs[0], 1, 1.0)
    for _ in range(3):
        found.costs(rundirs[0])
    spend(rundirs[0], 2, 2.0)
    found.costs(rundirs[0])
    spend(rundirs[1], 1, 0.5)
    found.costs(rundirs[1])
    assert found.spent == 3.5


def test_a_broken_bill_is_unknown_and_not_nothing(rundirs: list[RunDir]) -> None:
    found = of(10.0)
    spend(rundirs[0], 1, 1.0)
    found.costs(rundirs[0])
    (rundirs[0].attempt(2) / "bill.json").write_text("{torn")
    assert found.costs(rundirs[0]) == {"cost/usd": None}
    assert found.spent == 1.0, "what was known is spent"


def test_an_unknown_bill_does_not_hide_the_known_ones(rundirs: list[RunDir]) -> None:
    spend(rundirs[0], 1, 2.0)
    spend(rundirs[0], 2, None)
    spend(rundirs[0], 3, 1.0, "ml.without.a.price")
    found = of(10.0)
    assert found.costs(rundirs[0])["cost/usd"] is None
    assert found.spent == 2.0, "as far as it is known"


def test_a_run_without_bills_has_no_costs(rundirs: list[RunDir]) -> None:
    found = of(1.0)
    assert found.costs(rundirs[0]) == {}
    assert found.spent == 0.0


@given(st.lists(st.floats(0, 100), max_size=6), st.floats(0.01, 1000))
def test_whatever_was_spent_one_more_is_allowed_exactly_where_it_fits(paid: list[float], limit: float) -> None:
    found = of(limit)
    found._paid.update({str(number): dollars for number, dollars in enumerate(paid)})
    assert found.allows(RUNS[0], RUNS[1:3]) == (found.spent + 3.0 <= limit)


def plan(directory: Path, aws: AwsSettings, hosts: int = 1, runs: Sequence[Run] = RUNS) -> Plan:
    launch = LaunchSettings(mode="aws", aws=aws, hosts=hosts)
    cells = tuple(PlannedRun(run, "new", "no result yet", None, 1e6) for run in runs)
    experiment = Experiment("tiny", directory / "tiny.yaml", (), launch)
    efforts = {run.run_id: Effort(1e6, 3600.0, 2**20, 100, 100, 100) for run in runs}
    return Plan(experiment, directory, cells, {}, efforts, (1.0, 1.0))


def opened(found: Plan, todo: Sequence[Run] = RUNS, *, remote: bool = True) -> Budget:
    return budget(found, todo, found.forecast(), remote=remote)


TEST = AwsSettings(instance_type="ml.test", prices={"ml.test": 1.0}, startup_seconds=0.0)


def test_runs_that_would_exceed_the_budget_are_not_begun(tmp_path: Path) -> None:
    found = plan(tmp_path, dataclasses.replace(TEST, budget_usd=5.9))
    with pytest.raises(UsageProblem, match=r"\$0\.00 are spent, and these 6 runs will cost about \$6\.00.*\$5\.90"):
        opened(found)
    assert opened(found, RUNS[:5]).limit == 5.9
    assert opened(found, []).spent == 0.0


def test_what_was_spent_before_is_in_the_budget(tmp_path: Path) -> None:
    found = plan(tmp_path, dataclasses.replace(TEST, budget_usd=6.0))
    assert opened(found).allows(RUNS[0], RUNS[1:])
    spend(RunDir(tmp_path / "runs" / RUNS[0].run_id), 1, 0.25)
    spend(RunDir(tmp_path / "runs" / RUNS[0].run_id), 2, None)  # it runs
    with pytest.raises(UsageProblem, match=r"\$0\.25 are spent"):
        opened(found)


def test_a_budget_needs_prices(tmp_path: Path) -> None:
    own = dataclasses.replace(RUNS[1], instance_type="ml.unknown")
    found = plan(tmp_path, dataclasses.replace(TEST, budget_usd=100.0), runs=[RUNS[0], own])
    with pytest.raises(UsageProblem, match=r"that of ml\.unknown is not known: write aws: \{prices: \{ml\.unknown: …"):
        opened(found, [RUNS[0], own])
    assert opened(found, RUNS[:1]).limit == 100.0
    unlimited = plan(tmp_path, TEST, runs=[RUNS[0], own])
    assert opened(unlimited, [RUNS[0], own]).limit is None


def test_an_hour_of_all_hosts_is_paid_for(tmp_path: Path) -> None:
    found = plan(tmp_path, dataclasses.replace(TEST, budget_usd=11.0), hosts=2)
    with pytest.raises(UsageProblem, match=r"about \$12\.00"):
        opened(found)
    launch = LaunchSettings(aws=TEST, hosts=3)
    assert hourly(launch, PRICES, RUNS[0]) == 3.0
    assert hourly(launch, PRICES, dataclasses.replace(RUNS[0], instance_type="ml.m5.xlarge")) == pytest.approx(0.807)
    assert hourly(launch, PRICES, dataclasses.replace(RUNS[0], instance_type="ml.unknown")) is None


def test_the_start_of_each_job_is_paid_for_too(tmp_path: Path) -> None:
    aws = dataclasses.replace(TEST, startup_seconds=1800.0)
    assert opened(plan(tmp_path, aws)).expected(RUNS[:2]) == 3.0
    with pytest.raises(UsageProblem, match=r"about \$9\.00"):
        opened(plan(tmp_path, dataclasses.replace(aws, budget_usd=8.9)))


def test_on_this_machine_there_is_no_budget(tmp_path: Path) -> None:
    found = plan(tmp_path, dataclasses.replace(TEST, budget_usd=0.01))
    assert opened(found, remote=False).limit is None


@pytest.fixture
def bench(tmp_path: Path, store: Path) -> Elsewhere:  # noqa: F811
    directory = tmp_path / "кот #1" / "results"
    directory.mkdir(parents=True)
    (directory.parent / "mlflow.db").write_bytes(store.read_bytes())
    return Elsewhere(directory, sqlite_uri(directory.parent / "mlflow.db"), Interrupt(), "fork", bill=BILL)


def stops(events: Sequence[SweepEvent]) -> list[tuple[str, int]]:
    return [(event.how, event.running) for event in events if isinstance(event, Stopping)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_sweep_begins_nothing_that_would_exceed_the_budget(bench: Elsewhere, workers: int) -> None:
    runs = [run_of("good", seed) for seed in range(5)]
    bench.budget = of(3.0, runs)
    events = bench.sweep(runs, workers=workers)
    assert len(bench.submitted) == 3
    assert stops(events) == [("budget", 0)]
    assert bench.budget.spent == 3.0
    assert len(bench.outcomes()) == 3
    assert all(isinstance(each, Result) for each in bench.outcomes().values())
    bench.budget = of(None, runs)
    bench.sweep(runs)
    assert len(bench.submitted) == 5, "with more money it goes on"


def test_runs_that_are_cheaper_than_expected_make_room_for_more(bench: Elsewhere) -> None:
    runs = [run_of("good", seed) for seed in range(5)]
    bench.bill, bench.budget = dataclasses.replace(BILL, billed_seconds=900.0), of(1.5, runs)
    events = bench.sweep(runs, workers=2)
    assert len(bench.submitted) == 3
    running, most = 0, 0
    for event in events:
        running += isinstance(event, Started) - isinstance(event, Ended)
        most = max(most, running)
    assert most <= 2
    assert bench.budget.spent == 0.75


def test_what_failed_attempts_cost_is_spent(bench: Elsewhere) -> None:
    runs = [run_of("segfaults"), *(run_of("good", seed) for seed in range(1, 4))]
    bench.budget = of(4.0, runs)
    bench.sweep(runs, workers=1)
    assert len(bench.submitted) == 4, "one of them twice"
    assert bench.budget.spent == 4.0


def test_a_run_that_is_put_back_for_later_lets_others_pass() -> None:
    waiting = Waiting(RUNS[:2], forecast(RUNS))
    first = waiting.take([])
    assert first is not None
    waiting.put(first, later=0.3)
    began = time.monotonic()
    second = waiting.take([])
    assert second is not None
    assert second != first
    assert waiting.take([]) is None
    assert len(waiting) == 1, "it is not lost"
    while waiting.take([]) is None:
        time.sleep(0.01)
    assert time.monotonic() - began >= 0.29
    assert len(waiting) == 0


def test_a_run_that_is_put_back_without_a_time_is_there_at_once() -> None:
    waiting = Waiting(RUNS[:1], forecast(RUNS))
    first = waiting.take([])
    assert first is not None
    waiting.put(first)
    assert waiting.take([]) == first


def test_a_run_without_room_lets_others_pass_and_is_started_when_it_is_alone() -> None:
    waiting = Waiting(RUNS[:2], forecast(RUNS))
    large = next(iter(waiting))
    small = waiting.take(RUNS[2:], lambda run: run != large)
    assert small is not None
    assert small != large
    assert waiting.take(RUNS[2:], lambda run: False) is None
    assert waiting.take([], lambda run: False) == large
