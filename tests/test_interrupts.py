"""What becomes of jobs that run elsewhere when the user stops the sweep, or when there is no machine for them."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import pytest

from benchmark.journal import Journal
from benchmark.mlflow_store import sqlite_uri
from benchmark.records import Failure, Result
from benchmark.run import Run
from benchmark.site import signals
from benchmark.sweep import Ended, Interrupt, Started, Stopping, SweepEvent
from launch.attempts import is_locked
from tests.elsewhere import LACKS, Elsewhere
from tests.test_sweep import run_of, store, wait_for  # noqa: F401  (a fixture)

Choice = Literal["leave", "stop"] | None


@pytest.fixture
def bench(tmp_path: Path, store: Path) -> Iterator[Elsewhere]:  # noqa: F811
    home = tmp_path / "кот #1"
    home.mkdir()
    shutil.copy(store, home / "mlflow.db")
    found = Elsewhere(home / "results", sqlite_uri(home / "mlflow.db"), Interrupt(), "fork")
    yield found
    found.directory.mkdir(exist_ok=True)
    (found.directory / "release").touch()


def interrupted(
    bench: Elsewhere, runs: Sequence[Run], requests: int = 1, answer: Choice = None
) -> list[tuple[str, int]]:
    """A sweep that is asked to stop when all runs have begun; what it told of its stopping."""
    begun = 0

    def look(event: SweepEvent) -> None:
        nonlocal begun
        begun += isinstance(event, Started)
        if begun == len(runs) and not bench.interrupt.requests:
            for run in runs:
                wait_for(lambda run=run: is_locked(bench.rundir(run)))
            bench.interrupt.requests = requests
        if isinstance(event, Stopping) and event.how == "ask":
            bench.interrupt.choice = answer

    return stops(bench.sweep(runs, on_event=look))


def stops(events: Sequence[SweepEvent]) -> list[tuple[str, int]]:
    return [(event.how, event.running) for event in events if isinstance(event, Stopping)]


def finish(bench: Elsewhere, runs: Sequence[Run]) -> list[Started]:
    """The next sweep, in which everything may end; the attempts with which it began."""
    bench.interrupt = Interrupt()

    def release(event: SweepEvent) -> None:
        if isinstance(event, Started):
            (bench.directory / "release").touch()

    return [event for event in bench.sweep(runs, on_event=release) if isinstance(event, Started)]


def open_attempts(bench: Elsewhere, runs: Sequence[Run]) -> list[int | None]:
    journal = Journal(bench.directory)
    found = [journal.open_attempt(run) for run in runs]
    journal.close()
    return found


@pytest.mark.parametrize("answer", ["leave", None])
def test_jobs_that_are_left_go_on_and_the_next_sweep_adopts_them(bench: Elsewhere, answer: Choice) -> None:
    runs = [run_of("waits", seed) for seed in range(2)]
    assert interrupted(bench, runs, answer=answer) == [("ask", 2), ("leave", 2)]
    assert all(is_locked(bench.rundir(run)) for run in runs), "they live"
    assert open_attempts(bench, runs) == [1, 1]
    assert bench.outcomes() == {}
    assert [(event.attempt, event.adopted) for event in finish(bench, runs)] == [(1, True)] * 2
    assert len(bench.submitted) == 2, "nothing ran twice"
    assert all(isinstance(each, Result) for each in bench.outcomes().values())
    assert len(bench.outcomes()) == 2
    assert open_attempts(bench, runs) == [None, None]


def test_jobs_that_are_stopped_are_unfinished_and_the_next_sweep_goes_on(bench: Elsewhere) -> None:
    runs = [run_of("waits", seed) for seed in range(2)]
    assert interrupted(bench, runs, answer="stop") == [("ask", 2), ("kill", 2)]
    assert not any(is_locked(bench.rundir(run)) for run in runs)
    assert open_attempts(bench, runs) == [None, None]
    assert bench.outcomes() == {}, "unfinished, not failed"
    assert [(event.attempt, event.adopted) for event in finish(bench, runs)] == [(2, False)] * 2
    assert all(isinstance(each, Result) for each in bench.outcomes().values())


def test_two_requests_at_once_leave_without_a_question(bench: Elsewhere) -> None:
    runs = [run_of("waits")]
    assert interrupted(bench, runs, requests=2, answer="stop") == [("leave", 1)]
    assert is_locked(bench.rundir(runs[0]))
    assert [event.adopted for event in finish(bench, runs)] == [True]
    assert len(bench.submitted) == 1


@pytest.mark.parametrize(("choice", "how"), [("leave", "leave"), ("stop", "kill")])
def test_who_has_chosen_beforehand_is_not_asked(bench: Elsewhere, choice: Choice, how: str) -> None:
    runs = [run_of("waits")]
    bench.interrupt.choice = choice
    assert interrupted(bench, runs) == [(how, 1)]
    assert is_locked(bench.rundir(runs[0])) == (choice == "leave")
    assert bench.outcomes() == {}


def test_a_choice_made_beforehand_stops_nothing_as_long_as_nobody_asks(bench: Elsewhere) -> None:
    runs = [run_of("flaky"), run_of("exits"), run_of("good")]
    bench.interrupt.choice = "stop"
    assert stops(bench.sweep(runs)) == []
    found = bench.outcomes()
    assert isinstance(found[runs[0].run_id], Result), "it was killed, and tried again"
    assert isinstance(found[runs[1].run_id], Failure)
    assert isinstance(found[runs[2].run_id], Result)


def test_jobs_that_were_left_are_adopted_and_not_stopped_by_a_choice_for_later(bench: Elsewhere) -> None:
    runs = [run_of("waits")]
    interrupted(bench, runs, answer="leave")
    bench.interrupt = Interrupt(choice="stop")
    seen = []

    def release(event: SweepEvent) -> None:
        if isinstance(event, Started):
            seen.append(event.adopted)
            (bench.directory / "release").touch()

    assert stops(bench.sweep(runs, on_event=release)) == []
    assert seen == [True]
    assert isinstance(bench.outcomes()[runs[0].run_id], Result)


def test_when_the_time_is_up_jobs_elsewhere_are_stopped_too(bench: Elsewhere) -> None:
    runs = [run_of("waits")]
    assert stops(bench.sweep(runs, most=1.0)) == [("time", 1)]
    assert not is_locked(bench.rundir(runs[0]))
    assert bench.outcomes() == {}


def test_ctrl_c_is_one_request_and_term_is_two() -> None:
    interrupt, before = Interrupt(), signal.getsignal(signal.SIGTERM)
    with signals(interrupt):
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.requests == 1
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.requests == 3
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_run_for_which_there_is_no_machine_waits_and_is_no_failure(bench: Elsewhere) -> None:
    run, other = run_of("good"), run_of("fails")
    bench.lacking = {"good": 3}  # more often than a run is retried
    events = [event for event in bench.sweep([run, other], workers=1) if isinstance(event, Ended)]
    assert [event.retry for event in events if event.run == run] == [True, True, True, False]
    assert isinstance(bench.outcomes()[run.run_id], Result)
    times = [when for each, _, when in bench.submitted if each == run]
    assert all(later - before >= 0.2 for before, later in itertools.pairwise(times))
    order = [each.model for each, _, _ in bench.submitted]
    assert order.index("fails") < 3, "others pass meanwhile"
    assert kept(bench, run) == [LACKS.message] * 3 + [None]
    assert not (bench.rundir(run).path / "failure.json").exists()


def kept(bench: Elsewhere, run: Run) -> list[str | None]:
    """Why each attempt failed, as the journal has it."""
    db = sqlite3.connect(bench.directory / "journal.db")
    query = "SELECT json_extract(failure, '$.message') FROM attempts WHERE run_id = ? ORDER BY number"
    found = [row[0] for row in db.execute(query, (run.run_id,))]
    db.close()
    return found


def test_a_run_that_waits_for_a_machine_keeps_nobody_from_leaving(bench: Elsewhere) -> None:
    run = run_of("good")
    bench.lacking = {"good": 10**6}

    def ask(event: SweepEvent) -> None:
        if isinstance(event, Ended):
            bench.interrupt.requests = 1

    assert stops(bench.sweep([run], on_event=ask)) in ([], [("leave", 0)])
    assert bench.outcomes() == {}
    bench.lacking = {}
    assert [event.attempt for event in finish(bench, [run])] == [2]
    assert isinstance(bench.outcomes()[run.run_id], Result)


def test_a_run_that_is_stopped_on_request_does_not_wait_for_a_machine(bench: Elsewhere) -> None:
    run = run_of("good")
    bench.lacking, bench.patient = {"good": 1}, True

    def stop(event: SweepEvent) -> None:
        if isinstance(event, Started):
            bench.rundir(run).ask_to_stop()

    events = [event for event in bench.sweep([run], on_event=stop) if isinstance(event, Ended)]
    assert [event.retry for event in events] == [False]
    failure = bench.outcomes()[run.run_id]
    assert isinstance(failure, Failure)
    assert failure.kind == "stopped"
