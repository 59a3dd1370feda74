"""How many calls a second there are, with a clock that the test sets."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from launch.aws_pace import Pace
from tests.test_aws_slots import Clock


def test_a_few_calls_follow_at_once_and_then_each_waits_for_its_turn() -> None:
    clock = Clock()
    pace = Pace(4.0, burst=3, clock=clock)
    assert [pace.turn(name) for name in "abcdef"] == [0, 0, 0, 0.25, 0.5, 0.75]
    clock.wait(0.25)
    assert [pace.turn(name) for name in "def"] == [0, 0.25, 0.5]
    clock.wait(10.0)
    assert [pace.turn(name) for name in "efghij"] == [0, 0, 0, 0, 0, 0.25], "two had their turn, three are new"


@pytest.mark.parametrize("burst", [1, 4])
def test_however_many_ask_there_are_no_more_calls_than_the_rate_allows(burst: int) -> None:
    clock, calls = Clock(), []
    pace, waiting = Pace(3.0, burst, clock), [str(number) for number in range(100)]
    while waiting:
        due = [name for name in waiting if not pace.turn(name)]
        calls += [clock()] * len(due)
        waiting = [name for name in waiting if name not in due]
        clock.wait(0.1)
    assert max(sum(start <= each < start + 10 for each in calls) for start in calls) <= 30 + burst
    assert calls[-1] - calls[0] == pytest.approx((100 - burst) / 3, abs=0.2)


def test_threads_wait_for_their_turns() -> None:
    pace, begun = Pace(50.0, burst=1), time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(pace.wait, map(str, range(10))))
    assert time.monotonic() - begun >= 9 / 50
