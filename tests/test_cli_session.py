"""Several sessions of one command: what is asked, told and answered where one follows another."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import click
import pytest

from benchmark.cli_session import LATER, carry_out
from benchmark.lock import Busy
from benchmark.options import Earlier, Options
from benchmark.reporting import Summary
from benchmark.site import Interrupt
from benchmark.words import Narrator

NOBODY: Any = None
"""Publishes."""


class Forecast:
    @staticmethod
    def seconds(run: object) -> None:
        """Nobody knows."""


class Site:
    forecast = Forecast


@dataclass
class Batch:
    """A session of a search, without its runs."""

    options: Options
    summary: Summary
    costs_money: bool = False
    meanwhile: Callable[[], None] = lambda: None
    todo: tuple[()] = ()
    workers: int = 1
    site = Site
    opening = "opening"
    cautions: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    narrator: Narrator = field(default_factory=lambda: Narrator({}, "test/accuracy", 0))
    interrupt: Interrupt = field(init=False)

    def __post_init__(self) -> None:
        self.interrupt = self.options.earlier.interrupt if self.options.earlier else Interrupt()

    def events(self) -> Iterator[Any]:
        yield from ()

    def conclude(self) -> Summary:
        self.meanwhile()
        return self.summary

    @property
    def options_left(self) -> Options:
        return Options(earlier=Earlier(0.0, NOBODY, self.interrupt))


def said(number: int, code: int = 0, *, more: bool = True) -> Summary:
    return Summary((f"best of {number}", f"leaderboard of {number}"), {"number": number}, code, more)


def carried(batches: Callable[[int, Options], Any], *, as_json: bool = False, yes: bool = True) -> int:
    count = 0

    def begin(options: Options) -> Any:
        nonlocal count
        count += 1
        return batches(count, options)

    return carry_out(begin, Options(), as_json=as_json, yes=yes)


def test_one_summary_is_told_and_of_the_others_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    assert carried(lambda number, options: Batch(options, said(number, more=number < 3))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line != "opening"] == ["best of 1", "best of 2", "best of 3", "leaderboard of 3"]


def test_an_error_in_a_later_session_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def batch(number: int, options: Options) -> Batch:
        if number == 2:
            raise Busy("somebody else works here")
        return Batch(options, said(number, code=1))

    assert carried(batch, as_json=True) == 3
    captured = capsys.readouterr()
    assert captured.out.strip().replace("\n", "").replace(" ", "") == '{"number":1}'
    assert captured.err.splitlines()[-3:] == ["leaderboard of 1", "somebody else works here", LATER]


def test_an_error_in_the_first_session_and_a_mistake_of_ours_are_raised() -> None:
    def busy(number: int, options: Options) -> Batch:
        raise Busy("somebody else works here")

    def mistaken(number: int, options: Options) -> Batch:
        if number == 2:
            raise ZeroDivisionError
        return Batch(options, said(number))

    with pytest.raises(Busy):
        carried(busy)
    with pytest.raises(ZeroDivisionError):
        carried(mistaken)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_asks_to_stop_between_two_sessions_is_heard_in_the_next(number: signal.Signals) -> None:
    before, heard = signal.getsignal(number), []

    def batch(count: int, options: Options) -> Batch:
        if count == 2:
            os.kill(os.getpid(), number)
            assert options.earlier
            heard.append(options.earlier.interrupt)
        return Batch(options, said(count, more=count < 2))

    carried(batch)
    assert heard[0].requests == (1 if number == signal.SIGINT else 2)
    assert signal.getsignal(number) is before


def test_money_is_asked_for_once_and_before_it_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    opened = 0

    def batch(number: int, options: Options) -> Batch:
        nonlocal opened
        opened = number
        return Batch(options, said(number, more=number < 4), costs_money=number > 1)

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "confirm", lambda *_, **__: asked.append(opened))
    carried(batch, yes=False)
    assert asked == [2], "the first had nothing to run"
