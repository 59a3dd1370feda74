"""What instances cost: the shipped table, bills of attempts, their sum, and what a plan will come to."""

from __future__ import annotations

import csv
import dataclasses
import math
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.bill import Bill, costs, read_bills, write_bill
from benchmark.effort import Effort
from benchmark.estimate import dollars
from benchmark.forecast import Forecast
from benchmark.journal import Journal
from benchmark.prices import TABLE, Prices
from benchmark.records import Failure
from benchmark.run import DataSpec, Run
from benchmark.rundir import BrokenFile, RunDir
from reports.metrics import metric
from reports.spent import Spent

PRICES = Prices({"ml.a": 3.6, "ml.b": 36.0}, date(2024, 2, 12), "a table", "us-east-1")
RUN = Run(DataSpec(), "lenet5", data_digest="d", image_size=28, channels=1)

seconds = st.floats(0, 1e6, allow_subnormal=False)  # a price times the least of all may be nothing
bills = st.builds(
    Bill,
    instance_type=st.sampled_from(["ml.a", "ml.b", "ml.unknown"]),
    instances=st.integers(1, 8),
    billed_seconds=seconds | st.none(),
    training_seconds=seconds | st.none(),
    spot=st.booleans(),
)
known_bills = st.builds(
    Bill,
    instance_type=st.sampled_from(["ml.a", "ml.b"]),
    instances=st.integers(1, 8),
    billed_seconds=seconds,
    training_seconds=seconds,
    spot=st.booleans(),
)


def test_the_shipped_table_says_what_it_is_of() -> None:
    prices = Prices.shipped({})
    assert prices.price("ml.m5.xlarge") == 0.269
    assert (prices.as_of, prices.region) == (date(2024, 2, 12), "us-east-1")
    assert prices.source.startswith("syne-tune 0.13.0")
    assert prices.words == "prices of 2024-02, us-east-1"


def test_every_instance_of_the_table_has_a_price_and_stands_there_once() -> None:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    names = [row["instance_type"] for row in rows]
    assert len(set(names)) == len(names) >= 38
    assert all(name.startswith("ml.") for name in names)
    assert all(0.1 < float(row["usd_per_hour"]) < 40 for row in rows)
    assert all(int(row["vcpus"]) >= 2 and float(row["memory_gib"]) >= 7.5 for row in rows)
    assert all((int(row["gpus"]) > 0) == (float(row["gpu_memory_gib"]) > 0) for row in rows)


def test_what_is_not_known_has_no_price_and_ones_own_prices_win() -> None:
    assert Prices.shipped({}).price("ml.g5.xlarge") is None
    own = Prices.shipped({"ml.g5.xlarge": 1.5, "ml.m5.xlarge": 9.0})
    assert (own.price("ml.g5.xlarge"), own.price("ml.m5.xlarge"), own.price("ml.nothing")) == (1.5, 9.0, None)
    assert own.words == "prices of 2024-02, us-east-1, and of aws.prices"


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_a_price_is_above_zero(price: float) -> None:
    with pytest.raises(ValueError, match=r"ml\.a cannot cost"):
        Prices.shipped({"ml.a": price})


@pytest.fixture
def rundir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "кот #1 run")


def test_bills_are_read_as_they_were_written_in_the_order_of_the_attempts(rundir: RunDir) -> None:
    written = {number: Bill("ml.a", 1, float(number), None, number % 2 == 0) for number in (1, 2, 9, 10, 11)}
    for number, bill in written.items():
        write_bill(rundir.attempt(number), bill)
    rundir.attempt(3)
    (rundir.path / "attempts" / "notes").mkdir()
    assert read_bills(rundir) == list(written.values())
    write_bill(rundir.attempt(11), Bill("ml.a", 1, 5.0, 6.0, True))
    assert read_bills(rundir)[-1].training_seconds == 6.0


def test_a_run_that_was_never_in_aws_has_no_bills(rundir: RunDir) -> None:
    assert read_bills(rundir) == []
    assert costs([], PRICES) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"schema_version": 9}',
        '{"schema_version": 1}',
        '{"schema_version": 1, "instance_type": "ml.a", "instances": 0, "billed_seconds": 1, '
        '"training_seconds": 1, "spot": false}',
        '{"schema_version": 1, "instance_type": "ml.a", "instances": 1, "billed_seconds": "1", '
        '"training_seconds": 1, "spot": false}',
    ],
)
def test_a_broken_bill_is_refused_by_name(rundir: RunDir, text: str) -> None:
    (rundir.attempt(2) / "bill.json").write_text(text)
    with pytest.raises(BrokenFile, match=r"2/bill\.json"):
        read_bills(rundir)


@pytest.mark.parametrize(
    "wrong", [{"instances": 0}, {"billed_seconds": -1.0}, {"training_seconds": math.nan}, {"billed_seconds": math.inf}]
)
def test_a_bill_of_nothing_or_of_impossible_seconds_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a job o"):
        dataclasses.replace(Bill("ml.a", 1, 1.0, 1.0, False), **wrong)  # type: ignore[arg-type]


def test_a_run_pays_for_all_instances_of_all_attempts() -> None:
    found = costs([Bill("ml.a", 2, 500.0, 500.0, False), Bill("ml.b", 1, 100.0, 400.0, True)], PRICES)
    assert found == {
        "cost/usd": pytest.approx(2 * 500 * 3.6 / 3600 + 100 * 36 / 3600),
        "cost/billed_seconds": 1100.0,
        "cost/spot_seconds": 400.0,
        "cost/spot_savings": 0.75,
    }


def test_savings_are_those_of_the_attempts_on_spot_only() -> None:
    assert "cost/spot_savings" not in costs([Bill("ml.a", 1, 60.0, 90.0, False)], PRICES)
    never_began = [Bill("ml.a", 1, 0.0, 0.0, True)]
    assert costs(never_began, PRICES)["cost/spot_savings"] is None
    assert costs([*never_began, Bill("ml.a", 1, 30.0, 90.0, True)], PRICES)["cost/spot_savings"] == pytest.approx(2 / 3)


@given(st.lists(bills, min_size=1, max_size=6))
def test_one_unknown_price_or_time_makes_the_sum_unknown_and_never_zero(some: list[Bill]) -> None:
    found = costs(some, PRICES)
    unknown = [each for each in some if each.billed_seconds is None or PRICES.price(each.instance_type) is None]
    assert (found["cost/usd"] is None) == bool(unknown)
    assert (found["cost/billed_seconds"] is None) == any(each.billed_seconds is None for each in some)
    if found["cost/usd"] == 0:
        assert all(each.billed_seconds == 0 for each in some)


@given(st.lists(known_bills, min_size=1, max_size=6), st.randoms())
def test_dollars_add_up_whatever_the_order(some: list[Bill], random: object) -> None:
    apart = [costs([each], PRICES)["cost/usd"] for each in some]
    together = costs(some[::-1], PRICES)["cost/usd"]
    assert together == costs(some, PRICES)["cost/usd"] == pytest.approx(math.fsum(each or 0.0 for each in apart))


@given(st.lists(st.lists(bills, max_size=3), max_size=5))
def test_what_runs_cost_together_is_what_their_bills_cost_together(runs: list[list[Bill]]) -> None:
    everything = [bill for each in runs for bill in each]
    found, expected = Spent.of(costs(each, PRICES) for each in runs), costs(everything, PRICES)
    if found is None:
        assert not everything
        return
    assert (found.usd is None) == (expected["cost/usd"] is None)
    assert found.usd == (None if found.usd is None else pytest.approx(expected["cost/usd"]))
    assert found.billed_seconds == (
        None if expected["cost/billed_seconds"] is None else pytest.approx(expected["cost/billed_seconds"])
    )
    savings = expected.get("cost/spot_savings")
    if savings is not None:
        assert found.spot_savings == pytest.approx(savings, rel=1e-6, abs=1e-6)


def test_what_is_not_known_is_said_in_words() -> None:
    known, unknown = {"cost/usd": 0.5}, {"cost/usd": None}
    spot = {"cost/usd": 0.73, "cost/billed_seconds": 36.0, "cost/spot_seconds": 100.0, "cost/spot_savings": 0.64}
    words = [Spent.of(each) for each in ([known], [unknown], [known, unknown, {}], [known, spot], [{}])]
    assert [each and each.words for each in words] == [
        "cost: $0.500 in all",
        "cost: unknown",
        "cost: at least $0.500, unknown for 1 of 2 runs",
        "cost: $1.23 in all, spot saved 64%",
        None,
    ]


@given(st.floats(1e-5, 1e6))
def test_no_dollars_are_written_as_nothing(value: float) -> None:
    text = metric("cost/usd").write(value)
    assert float(text.removeprefix("$").replace(",", "")) == pytest.approx(value, rel=0.05)


def test_speed_that_is_measured_later_leaves_the_costs(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.plan([RUN])
    assert journal.costs(RUN) == {}
    journal.record(RUN, Failure("oom", "no memory"), {"cost/usd": None, "cost/billed_seconds": 5.0})
    assert not journal.outcomes()[RUN.run_id].measured
    journal.record_profile(RUN, {"speed/latency_ms_p50": 1.5})
    found = journal.outcomes()[RUN.run_id]
    assert found.profile == {"cost/usd": None, "cost/billed_seconds": 5.0, "speed/latency_ms_p50": 1.5}
    assert found.measured
    assert journal.costs(RUN) == {"cost/usd": None, "cost/billed_seconds": 5.0}
    journal.close()


RUNS = [dataclasses.replace(RUN, seed=seed) for seed in range(3)]
EFFORTS = {run.run_id: Effort(1e6, 3600.0 * (run.seed + 1), 2**20, 0, 0, 0) for run in RUNS}
FORECAST = Forecast(EFFORTS, (), (0.5, 2.0))


def test_a_plan_costs_the_hours_of_each_run_at_its_own_price() -> None:
    found = dollars(RUNS, FORECAST, lambda run: 1.0 + run.seed)
    assert found == pytest.approx((1 + 4 + 9, (1 + 4 + 9) / 2, (1 + 4 + 9) * 2))
    assert dollars([], FORECAST, lambda run: None) == (0, 0, 0)


@given(st.lists(st.floats(0.01, 100) | st.none(), min_size=3, max_size=3))
def test_a_plan_of_which_one_price_is_unknown_has_no_dollars(hourly: list[float | None]) -> None:
    found = dollars(RUNS, FORECAST, lambda run: hourly[run.seed])
    assert (found is None) == (None in hourly)
    assert found is None or 0 < found[1] < found[0] < found[2]


def test_a_plan_without_a_forecast_has_no_dollars() -> None:
    assert dollars(RUNS, Forecast(EFFORTS, ()), lambda run: 1.0) is None
