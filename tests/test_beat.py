"""Simulated time that two processes share; here two threads, each with a place of its own."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from launch.rehearsal import beat
from launch.rehearsal.beat import Beat


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Beat, Beat]:
    beat.make(tmp_path / "beat", 2)
    return Beat(tmp_path / "beat", 0, 100.0), Beat(tmp_path / "beat", 1, 100.0)


def test_nothing_begins_before_all_have_joined(pair: tuple[Beat, Beat]) -> None:
    first, second = pair
    first.join()
    time.sleep(0.1)
    assert first.now() == second.now() == 0
    second.join()
    first.sleep(5.0)
    assert first.now() >= 5
    second.leave()
    first.sleep(5.0)
    first.leave()


def test_time_stands_still_for_who_waits_for_a_call_unless_it_sleeps_in_it(pair: tuple[Beat, Beat]) -> None:
    first, second = pair
    first.join()
    second.join()
    with first.held():
        before = second.now()
        time.sleep(0.1)
        assert second.now() - before <= 3, "a beat that had begun, and one at most after many that were left out"
        first.sleep(20.0)
        assert second.now() - before >= 20
    first.leave()
    second.leave()


def test_who_waits_is_woken_by_an_event_or_by_time(pair: tuple[Beat, Beat]) -> None:
    first, second = pair
    first.join()
    second.join()
    event = threading.Event()
    assert not first.wait(event, 3.0)
    event.set()
    assert first.wait(event, 1000.0)
    first.leave()
    second.leave()
