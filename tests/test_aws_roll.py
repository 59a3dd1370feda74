"""What a listing tells of many jobs: the client is the rehearsal's, whose jobs only take time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from launch.aws_clients import Clients
from launch.aws_pace import Pace
from launch.aws_roll import DENIED, FEW, Roll
from launch.rehearsal.faults import Error, Faults, Interrupt
from tests.rehearsal_support import Account, account, until
from tests.test_aws_slots import Clock

LIMITS = {"StoppingCondition": {"MaxRuntimeInSeconds": 86400}}
SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 86400, "MaxWaitTimeInSeconds": 86400},
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    place = tmp_path_factory.mktemp("server")
    with account(place, executor="simulated", arguments=["--speed=100", "--seconds=50"]) as found:
        yield found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def roll(found: Account, clock: Clock) -> Iterator[Roll]:
    found.rehearsal.set_faults(Faults())
    said: list[str] = []
    with mock.patch.dict(os.environ, found.rehearsal.environment()):
        os.environ.pop("AWS_PROFILE", None)
        made = Roll(Clients(), 15.0, said.append, clock, Pace(1000.0))
        made.said = said  # type: ignore[attr-defined]
        yield made
    found.rehearsal.set_faults(Faults())


def jobs(found: Account, roll: Roll, prefix: str, count: int, **changes: object) -> list[str]:
    names = [found.start("", TrainingJobName=f"{prefix}-{number}", **{**LIMITS, **changes}) for number in range(count)]
    for name in names:
        roll.watch(name)
    return names


def calls(found: Account) -> list[str]:
    return [each["operation"] for each in found.rehearsal.calls() if each["operation"].endswith("TrainingJobs")]


def test_of_those_that_have_ended_there_is_news_once(found: Account, roll: Roll) -> None:
    endless = {"Environment": {"REHEARSAL_SECONDS": "80000"}}
    names = jobs(found, roll, "news", 3, **endless)
    others = [found.start("", TrainingJobName=f"else-{number}", **LIMITS, **endless) for number in range(2)]
    roll.look()
    assert not any(map(roll.take, names)), "they run"
    for name in [*names, *others]:
        found.sagemaker.stop_training_job(TrainingJobName=name)
        found.ended(name)
    roll.forget(names[2])
    roll.look()
    assert [roll.take(name) for name in [*names, *others]] == [True, True, False, False, False]
    assert not roll.take(names[0])


def test_an_interruption_is_news(found: Account, roll: Roll) -> None:
    found.rehearsal.set_faults(Faults(interrupt=(Interrupt("taken-*", after=0.0, wait=300.0),)))
    names = jobs(found, roll, "taken", 1, **SPOT)
    until(lambda: found.describe(names[0])["SecondaryStatus"] == "Starting")
    found.ended(names[0])
    roll.look()
    assert roll.take(names[0])


def test_many_are_told_of_in_pages(found: Account, roll: Roll) -> None:
    names = jobs(found, roll, "many", 120)
    for name in names:
        found.ended(name)
    before = len(calls(found))
    roll.look()
    assert all(map(roll.take, names))
    assert len(calls(found)) == before + 2


def test_few_jobs_need_no_listing_and_many_one_an_interval(roll: Roll, clock: Clock) -> None:
    for number in range(FEW):
        roll.watch(f"a-{number}")
    assert not roll.is_due()
    roll.watch("a-x")
    assert roll.is_due()
    assert not roll.is_due()
    clock.wait(15.0)
    assert roll.is_due()


def test_without_a_listing_nobody_is_vouched_for(found: Account, roll: Roll, clock: Clock) -> None:
    roll.watch("nobody")
    assert not roll.vouches
    roll.look()
    assert roll.vouches
    clock.wait(60.0)
    assert not roll.vouches
    found.rehearsal.set_faults(Faults(errors=(Error("ListTrainingJobs", "ValidationException", times=0),)))
    roll.look()
    assert not roll.vouches


def test_who_may_not_list_is_told_once_and_does_without(found: Account, roll: Roll) -> None:
    for number in range(FEW + 1):
        roll.watch(f"b-{number}")
    found.rehearsal.set_faults(Faults(errors=(Error("ListTrainingJobs", "AccessDeniedException", times=0),)))
    assert roll.is_due()
    roll.look()
    assert roll.said == [DENIED]  # type: ignore[attr-defined]
    assert not roll.vouches
    assert not replace(roll).is_due()
    assert not roll.is_due()


@pytest.mark.parametrize(
    ("names", "common"), [(["a-1"], "a-1"), (["a-1", "a-2"], "a-"), (["a-1", "a-12"], "a-1"), (["b", "a"], "")]
)
def test_only_names_like_these_are_listed(names: list[str], common: str) -> None:
    from launch.aws_roll import _common

    assert _common(names) == common


def test_a_change_while_a_listing_is_made_is_in_the_next(found: Account, roll: Roll, tmp_path: Path) -> None:
    """Whatever was modified shortly before the newest that was seen is listed again."""
    names = jobs(found, roll, "late", 2)
    for name in names:
        found.ended(name)
    roll.look()
    assert [roll.take(name) for name in names] == [True, True]
    roll.look()
    assert [roll.take(name) for name in names] == [True, True]
