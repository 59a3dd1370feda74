"""How many runs share a training job, which of them do, and what each pays of its bill."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.aws_settings import AwsSettings
from benchmark.bill import Bill, divided
from benchmark.budget import Budget
from benchmark.config.experiment import LaunchSettings
from benchmark.packing import LONGEST_SECONDS, MOST_RUNS, STARTUP_SHARE, Packing, chosen
from benchmark.paying import expected
from benchmark.preparing import at_a_time, settings
from benchmark.prices import Prices
from benchmark.records import Failure, FailureKind
from benchmark.run import DataSpec, Run
from benchmark.training import pack
from launch import aws_member, aws_results, aws_uploads
from launch.aws_gathering import QUIET_SECONDS, Gathering
from launch.aws_log import Own
from launch.aws_pack import Pack
from launch.training_job import BEGIN, DAY, PACK_VARIABLE, TURN
from tests.aws_model import problems
from tests.test_budget import forecast
from tests.test_forecast import result
from tests.test_training_job import CASES

RUNS = [Run(DataSpec("digits"), "lenet5", data_digest="d", seed=seed) for seed in range(40)]


def packing(number: object = "auto", seconds: float = 60.0, *, known: bool = True, **keys: object) -> Packing:
    """Of forty runs of so many seconds, four jobs at a time, each with ninety seconds of start-up."""
    hosts = keys.pop("hosts", 1)
    aws = AwsSettings(runs_per_job=number, **keys)  # type: ignore[arg-type]
    launch = LaunchSettings(mode="aws", hosts=hosts, aws=aws)  # type: ignore[arg-type]
    return Packing(launch, RUNS, forecast(RUNS, seconds, known=known))


@pytest.mark.parametrize(
    ("seconds", "startup", "count", "concurrency", "number"),
    [
        (60, 120, 10**4, 4, 18),  # nine times the start-up
        (10, 120, 10**4, 4, MOST_RUNS),
        (600, 120, 10**4, 4, 2),
        (2000, 120, 10**4, 4, 1),
        (60, 120, 16, 4, 4),  # all four jobs have something to do
        (60, 120, 3, 4, 1),
        (300, 10**4, 10**4, 4, 12),  # an hour
        (5000, 10**4, 10**4, 4, 1),
        (60, 0, 10**4, 4, 1),
    ],
)
def test_start_up_is_a_tenth_of_a_job_and_no_job_is_too_long_and_none_is_missing(
    seconds: float, startup: float, count: int, concurrency: int, number: int
) -> None:
    assert chosen(seconds, startup, count, concurrency) == number


@given(st.floats(0, 1e6), st.floats(0, 1e5), st.integers(0, 10**5), st.integers(1, 100))
def test_the_number_keeps_every_bound(seconds: float, startup: float, count: int, concurrency: int) -> None:
    found = chosen(seconds, startup, count, concurrency)
    assert 1 <= found <= MOST_RUNS
    if found > 1:
        assert found * seconds <= LONGEST_SECONDS
        assert (found - 1) * concurrency < count
        assert startup / (startup + (found - 1) * seconds) > STARTUP_SHARE, "one fewer would not do"


def test_a_number_is_taken_as_it_is_and_several_hosts_or_the_unknown_share_nothing() -> None:
    assert packing(7).runs_per_job(RUNS[0]) == 7
    assert packing(1).share(RUNS[0]) == 1
    assert packing().runs_per_job(RUNS[0]) == 10, "forty over four jobs"
    assert packing(known=False).runs_per_job(RUNS[0]) == 1
    assert packing(7, known=False).runs_per_job(RUNS[0]) == 7
    assert packing(7, hosts=2).runs_per_job(RUNS[0]) == 1


def test_so_many_are_submitted_that_every_job_at_a_time_is_full() -> None:
    found = packing(5)
    how = settings(found.launch, None, RUNS, packing=found)
    assert how.workers == 20
    assert at_a_time(found.launch, None, how, found) == 4
    assert how.growing is None
    assert settings(found.launch, 3, RUNS, packing=found).workers == 3


def test_with_auto_the_runs_that_end_teach_how_many_are_submitted() -> None:
    found = packing(seconds=4000.0)
    how = settings(found.launch, None, RUNS, packing=found)
    assert how.workers == 4
    assert how.growing is not None
    assert how.growing() == 4
    found.forecast.learn(RUNS[0], result(RUNS[0], 60.0))
    assert how.growing() == 40
    assert settings(found.launch, 3, RUNS, packing=found).growing is None


def test_dollars_of_the_plan_and_the_budget_know_that_start_up_is_paid_once_a_job() -> None:
    prices = {"ml.m5.xlarge": 3600.0}  # a dollar a second
    costs = []
    for number in (1, 8):
        found = packing(number, prices=prices)
        estimate = expected(found.launch, RUNS, found.forecast, 4, remote=True)
        assert estimate is not None
        assert estimate.dollars is not None
        costs.append(estimate.dollars[0])
        spent = Budget(Prices.shipped(prices), found.forecast, lambda run: 3600.0, None, found.startup_seconds)
        assert spent.expected(RUNS) == pytest.approx(estimate.dollars[0])
    assert costs == pytest.approx([40 * (60 + 90), 40 * 60 + 5 * 90])


def test_each_pays_for_its_own_seconds_and_an_equal_part_of_the_rest() -> None:
    whole = Bill("ml.m5.xlarge", 1, billed_seconds=160.0, training_seconds=160.0, spot=False)
    assert [each.billed_seconds for each in divided(whole, [10.0, 30.0, 0.0, 0.0])] == [40.0, 60.0, 30.0, 30.0]
    spot = Bill("ml.m5.xlarge", 1, billed_seconds=48.0, training_seconds=160.0, spot=True)
    assert [each.billed_seconds for each in divided(spot, [10.0, 30.0, 0.0, 0.0])] == [12.0, 18.0, 9.0, 9.0]


def test_an_unknown_bill_stays_unknown_and_what_is_expected_counts_for_the_budget_only() -> None:
    unknown = Bill("ml.test", 1, None, None, spot=False).foreseen(90.0)
    prices = Prices.shipped({"ml.test": 3600.0})
    assert unknown.dollars(prices) is None
    assert unknown.likely_dollars(prices) == 90.0
    parts = divided(unknown, [1.0, 2.0])
    assert [each.billed_seconds for each in parts] == [None, None]
    assert [each.expected_seconds for each in parts] == [None, None]
    assert [each.billed_seconds for each in divided(Bill("ml.test", 1, 0.0, 0.0, spot=False), [0.0, 0.0])] == [0.0, 0.0]


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.lists(st.floats(0, 1e5), min_size=1, max_size=100))
def test_the_parts_of_a_bill_come_to_the_whole_to_the_last_bit(billed: int, trained: int, own: list[float]) -> None:
    parts = divided(Bill("ml.m5.xlarge", 1, float(billed), float(trained), spot=True), own)
    assert math.fsum(each.billed_seconds or 0.0 for each in parts) == billed
    assert math.fsum(each.training_seconds or 0.0 for each in parts) == trained
    assert len(parts) == len(own)


@dataclass(eq=False)
class Job:
    runs: list[str] = field(default_factory=list)


class Crowd:
    """Runs that gather, with a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.gathering: Gathering[Job] = Gathering(lambda: self.now)

    def join(self, run: str, share: float = 0.5, like: str = "x", line: str = "m5") -> Job:
        return self.gathering.join(line, like, share, Job, lambda job: job.runs.append(run))


def test_a_job_takes_what_is_like_it_until_it_is_full() -> None:
    crowd = Crowd()
    first = crowd.join("a")
    assert crowd.join("b", like="y") is not first
    assert crowd.join("c") is first
    assert crowd.join("d") is not first
    assert first.runs == ["a", "c"]
    thirds = [crowd.join(each, 1 / 3, like="z") for each in "efg"]
    assert thirds == [thirds[0]] * 3, "rounding leaves nobody out"


def test_jobs_begin_in_their_order_in_a_line_of_each_kind() -> None:
    crowd = Crowd()
    first, second, other = crowd.join("a"), crowd.join("b", like="y"), crowd.join("c", line="c5", like="z")
    assert [crowd.gathering.may_begin(each) for each in (first, second, other)] == [True, False, True]
    crowd.join("d", like="y")
    assert crowd.gathering.may_begin(second), "it is full"
    last = crowd.join("e", like="y")
    crowd.gathering.leave(second)
    assert not crowd.gathering.may_begin(last)
    crowd.gathering.leave(first)
    assert crowd.gathering.may_begin(last)
    assert not crowd.gathering.may_begin(first)


def test_a_job_begins_when_it_is_full_or_nothing_more_came_for_a_moment_since_it_might() -> None:
    crowd = Crowd()
    job = crowd.join("a")
    assert not crowd.gathering.close(job, since=crowd.now)
    crowd.now += QUIET_SECONDS
    assert not crowd.gathering.close(job, since=crowd.now), "there was no room for it before"
    crowd.now += QUIET_SECONDS / 2
    crowd.join("late", 0.25)
    crowd.now += QUIET_SECONDS / 2
    assert not crowd.gathering.close(job, since=0.0)
    crowd.now += QUIET_SECONDS / 2
    assert crowd.gathering.close(job, since=0.0)
    assert crowd.join("b") is not job
    full = crowd.join("c")
    assert crowd.gathering.close(full, since=crowd.now)


def test_the_request_of_a_shared_job_is_one_that_the_service_takes_with_a_limit_beyond_those_of_its_runs() -> None:
    alone, found = CASES["time limit"].request(attempt=3), CASES["time limit"].request(attempt=3, runs=12)
    assert problems(found) == []
    assert found["TrainingJobName"] == f"{alone['TrainingJobName']}-pack"
    assert PACK_VARIABLE not in alone["Environment"]
    assert found["Environment"][PACK_VARIABLE] == "1"
    assert found["StoppingCondition"]["MaxRuntimeInSeconds"] == BEGIN + 12 * (90 + TURN)


@pytest.mark.parametrize(("runs", "seconds"), [(1, BEGIN + DAY + TURN), (3, BEGIN + 3 * (DAY + TURN)), (12, 5 * DAY)])
def test_without_a_limit_each_has_a_day_as_it_would_alone_but_no_job_more_than_accounts_may_have(
    runs: int, seconds: int
) -> None:
    assert CASES["plain"].request(runs=runs)["StoppingCondition"]["MaxRuntimeInSeconds"] == seconds


@pytest.mark.parametrize(
    ("kind", "status", "seconds", "innocent"),
    [
        ("killed", "Failed", {"a": 9.0, "b": 3.0, "c": None}, "ac"),
        ("killed", "Failed", {"a": None, "b": None, "c": None}, ""),
        ("error", "Completed", {"a": 9.0, "b": 3.0, "c": None}, ""),
        ("timeout", "Stopped", {"a": 9.0, "b": 3.0, "c": None}, "abc"),
        ("timeout", "Stopped", {"a": 9.0, "b": None, "c": None}, "bc"),
    ],
    ids=["under way", "none has begun", "all were had", "the job's limit", "the job's limit, in its first run"],
)
def test_who_was_under_way_pays_for_a_job_that_died(
    kind: FailureKind, status: str, seconds: dict[str, float | None], innocent: str
) -> None:
    """What the job keeps of each run in their order, and its status, are all that counts."""
    job = SimpleNamespace(_seconds=seconds, said={"TrainingJobStatus": status})
    runs = {name: SimpleNamespace(run=SimpleNamespace(run_id=name)) for name in seconds}
    found = [name for name, each in runs.items() if Pack._is_innocent(job, Failure(kind, "it died"), each)]  # type: ignore[arg-type]
    assert "".join(found) == innocent


def test_who_writes_and_who_reads_agree_on_the_names() -> None:
    assert (pack.VARIABLE, pack.LIST) == (PACK_VARIABLE, aws_uploads.PACK)
    assert (pack.ENDED, pack.SECONDS) == (aws_member.OUTPUTS, aws_results.SECONDS)
    assert pack.LOG in aws_results.BESIDE
    assert pack.SECONDS in aws_results.BESIDE


def test_the_log_of_a_run_is_what_stands_behind_its_heading() -> None:
    lines = ["installing", pack.heading("aaa", 1, 2), "a1", "a2", pack.heading("bbb", 2, 2), "b1"]
    own = {name: list(filter(Own(name), map(str.encode, lines))) for name in ("aaa", "bbb")}
    assert own == {
        "aaa": [b"== run aaa (1 of 2) ==", b"a1", b"a2"],
        "bbb": [b"== run bbb (2 of 2) ==", b"b1"],
    }


def test_a_run_has_its_own_places_below_those_of_the_job(tmp_path: Path) -> None:
    names = (*pack.OWN, "SM_OUTPUT_DIR", "SM_CHANNEL_DATA")
    job = {name: str(tmp_path / name) for name in names} | {pack.VARIABLE: "1", "OMP_NUM_THREADS": "2"}
    one, other = (pack.Member.of(each, job).variables for each in ("aaa", "bbb"))
    assert pack.VARIABLE not in one
    assert one["OMP_NUM_THREADS"] == "2"
    assert one["SM_CHANNEL_DATA"] == job["SM_CHANNEL_DATA"]
    assert not {one[name] for name in names[:-1]} & {other[name] for name in names[:-1]}
    assert json.dumps(sorted(one)) == json.dumps(sorted(other))
