"""How many training jobs may live at once, with a clock that the test sets."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.aws_slots import FIRST_PAUSE, GROW_SECONDS, LONGEST_PAUSE, PROBE_SECONDS, Slots


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def slots(clock: Clock, most: int = 4, living: int = 0, scale: float = 1.0) -> Slots:
    """With so many jobs that AWS has taken."""
    found = Slots("ml.m5.xlarge", most, clock, scale)
    for number in range(living):
        assert found.take(f"living-{number}")
        found.created()
    return found


def pause(found: Slots, clock: Clock, name: str = "next") -> int:
    """Seconds until a job may be created."""
    for second in range(5000):
        if found.take(name):
            return second
        clock.wait(1.0)
    raise AssertionError("never")


def test_no_more_than_the_limit_live_until_one_is_given_back(clock: Clock) -> None:
    found = slots(clock, 2, living=2)
    assert not found.take("third")
    found.give("living-0")
    assert found.take("third")
    assert not found.take("fourth")


def test_a_job_that_has_a_slot_keeps_it_however_often_it_asks(clock: Clock) -> None:
    found = slots(clock, 1)
    assert found.take("a")
    assert found.take("a")
    assert not found.take("b")
    found.give("a")
    found.give("a")
    assert found.take("b")


def test_a_refusal_lowers_the_limit_to_what_lives_and_says_so_once(clock: Clock) -> None:
    found = slots(clock, 5, living=2)
    assert found.take("third")
    assert found.take("fourth")
    assert found.refuse("fourth") == 3
    assert found.refuse("third") == 2
    assert not found.take("third")
    found.give("living-0")
    assert found.take("third"), "one has ended: there is room for one"
    assert found.refuse("third") == 1
    found.give("living-1")
    clock.wait(PROBE_SECONDS / 2)
    assert found.take("third")
    assert found.refuse("third") is None, "nothing new"


def test_a_first_refusal_is_told_even_where_the_limit_is_already_one(clock: Clock) -> None:
    found = slots(clock, 1)
    assert found.take("a")
    assert found.refuse("a") == 1
    clock.wait(FIRST_PAUSE)
    assert found.take("a")
    assert found.refuse("a") is None


def test_while_nothing_lives_the_pause_doubles_and_ends_at_the_longest(clock: Clock) -> None:
    found, seen = slots(clock, 1), []
    assert found.take("next")
    for _ in range(8):
        found.refuse("next")
        seen.append(pause(found, clock))
    assert seen == [15, 30, 60, 120, 240, 300, 300, 300]
    assert (FIRST_PAUSE, LONGEST_PAUSE) == (15, 300)


@pytest.mark.parametrize("most", [2, 8])
def test_the_pause_is_the_same_whatever_the_limit_was(clock: Clock, most: int) -> None:
    found, seen = slots(clock, most), []
    assert found.take("next")
    for _ in range(8):
        found.refuse("next")
        clock.wait(0.5)  # nobody asks at the very second
        seen.append(pause(found, clock))
    assert seen == [15, 30, 60, 120, 240, 300, 300, 300]


def test_a_success_makes_the_pause_short_again(clock: Clock) -> None:
    found = slots(clock, 1)
    for _ in range(4):
        pause(found, clock)
        found.refuse("next")
    pause(found, clock)
    found.created()
    found.give("next")
    assert pause(found, clock, "other") == 0
    found.refuse("other")
    assert pause(found, clock, "other") <= 2 * FIRST_PAUSE


def test_while_others_live_there_is_no_pause_but_their_end(clock: Clock) -> None:
    found = slots(clock, 4, living=1)
    assert found.take("next")
    found.refuse("next")
    assert not found.take("next")
    found.give("living-0")
    assert pause(found, clock) <= FIRST_PAUSE


def test_the_limit_comes_back_by_twice_as_many_each_time_that_all_were_taken(clock: Clock) -> None:
    found = slots(clock, 10, living=1)
    assert found.take("a")
    found.refuse("a")
    waited = []
    for name in "abcdefghi":
        waited.append(pause(found, clock, name))
        found.created()
    probe, grow = PROBE_SECONDS + 1, GROW_SECONDS + 1
    assert waited == [probe, grow, 0, grow, 0, 0, 0, grow, 0]
    clock.wait(10 * PROBE_SECONDS)
    assert not found.take("k"), "never more than the user says"


def test_no_more_are_tried_before_those_that_were_have_been_taken(clock: Clock) -> None:
    found = slots(clock, 10, living=1)
    assert found.take("a")
    found.refuse("a")
    assert pause(found, clock, "a") == PROBE_SECONDS + 1
    clock.wait(PROBE_SECONDS - 1)
    assert not found.take("b"), "AWS has not answered yet"
    found.created()
    assert pause(found, clock, "b") == GROW_SECONDS + 1


def test_a_quota_that_is_raised_is_used_within_minutes(clock: Clock) -> None:
    found, quota = slots(clock, 200, living=120), 120
    refused, since = 0, clock()
    for second in range(1200):
        quota = 200 if second >= 600 else 120
        for number in range(200):
            if found.take(name := f"next-{number}"):
                if len(found.living) > quota:
                    refused += found.refuse(name) is not None or 1
                else:
                    found.created()
        if len(found.living) == 200:
            break
        clock.wait(1.0)
    assert clock() - since - 600 <= PROBE_SECONDS + 8 * GROW_SECONDS
    assert refused <= 600 / PROBE_SECONDS + 1, "a call now and then while the quota stands"


def test_a_refused_probe_lowers_the_limit_again(clock: Clock) -> None:
    found = slots(clock, 4, living=2)
    assert found.take("a")
    assert found.refuse("a") == 2
    clock.wait(PROBE_SECONDS + 1)
    assert found.take("a")
    assert found.refuse("a") == 2
    assert pause(found, clock, "a") == PROBE_SECONDS + 1


def test_nobody_waits_for_a_refusal_of_long_ago(clock: Clock) -> None:
    found = slots(clock, 4, living=1)
    assert found.take("a")
    found.refuse("a")
    clock.wait(PROBE_SECONDS + 1)
    found.give("living-0")
    assert found.take("a")


def test_adopted_jobs_count_even_beyond_the_limit(clock: Clock) -> None:
    found = slots(clock, 2)
    for name in ("a", "b", "c"):
        found.found(name)
    found.found("a")
    assert not found.take("d")
    found.give("a")
    assert not found.take("d")
    found.give("b")
    assert found.take("d")
    assert found.take("c"), "it is there"


def test_all_times_have_one_scale(clock: Clock) -> None:
    found, seen = slots(clock, 1, scale=1 / 15), []
    assert found.take("next")
    for _ in range(6):
        found.refuse("next")
        seen.append(pause(found, clock))
    assert seen == [1, 2, 4, 8, 16, 20]


commands = st.lists(
    st.tuples(st.sampled_from(["take", "refuse", "give", "found", "wait"]), st.sampled_from("abcdef")), max_size=60
)


@given(commands, st.integers(1, 4))
def test_whatever_happens_nothing_is_taken_beyond_the_limit_and_nothing_waits_for_ever(
    orders: list[tuple[str, str]], most: int
) -> None:
    clock = Clock()
    found = slots(clock, most)
    for order, name in orders:
        before = set(found.living)
        if order == "take":
            taken = found.take(name)
            assert taken == (name in found.living)
            assert not taken or name in before or len(found.living) <= most
        elif order == "wait":
            clock.wait(100.0)
        elif order == "refuse" and name not in before:
            continue
        else:
            getattr(found, order)(name)
    found.living.clear()
    assert pause(found, clock) <= LONGEST_PAUSE


@pytest.mark.parametrize("refusals", [False, True])
def test_from_many_threads_there_are_never_more_than_the_limit(refusals: bool) -> None:
    found, lock, count, most, done = Slots("ml.m5.xlarge", 3, scale=1e-6), threading.Lock(), 0, 0, []

    def job(name: str) -> None:
        nonlocal count, most
        for turn in range(5):
            while not found.take(name):
                time.sleep(0.0005)
            with lock:
                count += 1
                most = max(most, count)
            time.sleep(0.001)
            with lock:
                count -= 1
            if refusals and turn % 2:
                found.refuse(name)
            else:
                found.created()
                found.give(name)
        done.append(name)

    threads = [threading.Thread(target=job, args=(f"job-{number}",)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 12
    assert most == 3
    assert found.living == set()
