"""The sweep with real processes, a real journal and a real MLflow store; only the training is left out."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmark.attempt import Limits
from benchmark.budget import Budget
from benchmark.data.datasets import DataFacts
from benchmark.forecast import Effort, Forecast
from benchmark.journal import Journal
from benchmark.lock import Busy, exclusive
from benchmark.mlflow_store import prepare, sqlite_uri
from benchmark.profiles import Profiles
from benchmark.publishing import Published, Publishing
from benchmark.records import Failure, Result
from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from benchmark.sweep import (
    Ended,
    EpochDone,
    Interrupt,
    Measuring,
    Notice,
    Settings,
    Site,
    Started,
    Stopping,
    Sweep,
    SweepEvent,
)
from benchmark.tracking import Publisher
from launch.attempts import is_locked
from launch.fast_local import FastLocal
from launch.host import Start

STUB = Path(__file__).with_name("stub_job.py")
SPEC = DataSpec("synthetic")
UNLIMITED = Limits()
FACTS = DataFacts("d" * 64, ("a", "b"), 8, 1, {"train": 2, "val": 1, "test": 1})


def run_of(model: str, seed: int = 0) -> Run:
    return Run(SPEC, model, data_digest="d" * 64, seed=seed, image_size=8, channels=1, epochs=2)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store, made once: its migrations take seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    prepare(sqlite_uri(path))
    return path


@dataclass
class Bench:
    """One experiment's directory, and sweeps over it."""

    directory: Path
    uri: str
    interrupt: Interrupt
    start: Start
    profiles: Profiles | None = None
    budget: Budget = field(default_factory=Budget)

    def sweep(
        self, runs: Sequence[Run], *, todo: Sequence[Run] | None = None, workers: int = 2, limits: Limits = UNLIMITED,
        memory: int | None = None, most: float | None = None,
        on_event: Callable[[SweepEvent], None] = lambda event: None,
    ) -> list[SweepEvent]:  # fmt: skip
        journal = Journal(self.directory)
        known = journal.outcomes()
        efforts = {run.run_id: Effort(1e6, 1.0, 2**20, 100, 100, 100) for run in runs}
        with exclusive(self.directory), self.launcher() as launcher:
            site = Site(
                journal,
                launcher,
                Publishing(self._publisher),
                lambda run: self.directory,
                {run.run_id: run.model for run in runs},
                Forecast(efforts, ()),
                self.profiles,
                budget=self.budget,
            )
            wanted = [run for run in runs if run.run_id not in known] if todo is None else todo
            sweep = Sweep(runs, wanted, site, Settings(workers, limits, 1, memory, most), self.interrupt)
            events = [*self._each(sweep.events(), on_event), *sweep.finish(60)]
        journal.close()
        return events

    def launcher(self) -> FastLocal:
        return FastLocal(self.start, entry=STUB, preload=("numpy",), grace=0.5)

    def _each(self, events: Iterator[SweepEvent], look: Callable[[SweepEvent], None]) -> Iterator[SweepEvent]:
        for event in events:
            look(event)
            yield event

    def _publisher(self) -> Publisher:
        return Publisher(self.uri, "sweep", data={SPEC: FACTS}, artifacts=lambda rundir, run: {})

    def outcomes(self) -> dict[str, Result | Failure]:
        journal = Journal(self.directory)
        found = {key: each.result or each.failure for key, each in journal.outcomes().items()}
        journal.close()
        return {key: each for key, each in found.items() if each is not None}

    def rundir(self, run: Run) -> RunDir:
        return RunDir(self.directory / "runs" / run.run_id)


@pytest.fixture(params=["fork", "spawn"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, store: Path) -> Iterator[Bench]:
    home = tmp_path / "кот #1"
    home.mkdir()
    shutil.copy(store, home / "mlflow.db")
    found = Bench(home / "results", sqlite_uri(home / "mlflow.db"), Interrupt(), request.param)
    yield found
    found.directory.mkdir(exist_ok=True)
    (found.directory / "release").touch()


def ended(events: Sequence[SweepEvent]) -> list[Ended]:
    return [event for event in events if isinstance(event, Ended)]


def test_every_run_is_done_once_and_published(bench: Bench) -> None:
    runs = [run_of("good", seed) for seed in range(3)]
    events = bench.sweep(runs)
    assert {event.run.run_id for event in ended(events)} == {run.run_id for run in runs}
    assert sum(isinstance(event, Started) for event in events) == 3
    committed = {event.run.run_id for event in events if isinstance(event, Published) and event.commit}
    assert committed == {run.run_id for run in runs}, events
    assert {event.event.epoch for event in events if isinstance(event, EpochDone)} == {1, 2}


def test_a_free_worker_does_not_wait_for_the_books(bench: Bench) -> None:
    runs = [run_of("good", seed) for seed in range(2)]
    started = []

    def look(event: SweepEvent) -> None:
        if isinstance(event, Ended):
            started.append(sum(bench.rundir(run).last_attempt for run in runs))

    bench.sweep(runs, workers=1, on_event=look)
    assert started == [2, 2], "the second run had started when the first one was entered in the journal"


def test_the_same_sweep_again_starts_nothing_and_publishes_nothing(bench: Bench) -> None:
    runs = [run_of("good", seed) for seed in range(2)]
    bench.sweep(runs)
    assert bench.sweep(runs) == []


def test_a_failed_run_is_a_value_and_the_others_go_on(bench: Bench) -> None:
    runs = [run_of("fails"), run_of("exits"), run_of("good")]
    bench.sweep(runs, workers=1)
    outcomes = bench.outcomes()
    assert isinstance(outcomes[runs[2].run_id], Result)
    diverged, exits = outcomes[runs[0].run_id], outcomes[runs[1].run_id]
    assert isinstance(diverged, Failure)
    assert (diverged.kind, diverged.step) == ("diverged", 3)
    assert isinstance(exits, Failure)
    assert exits.kind == "error"
    assert "exit code 7" in exits.message
    assert "last words" in exits.traceback


def test_a_killed_run_is_tried_again_at_most_so_often(bench: Bench) -> None:
    flaky, hopeless = run_of("flaky"), run_of("segfaults")
    events = ended(bench.sweep([flaky, hopeless]))
    assert [e.retry for e in events if e.run == flaky] == [True, False]
    assert [e.retry for e in events if e.run == hopeless] == [True, False]
    outcomes = bench.outcomes()
    assert isinstance(outcomes[flaky.run_id], Result)
    failure = outcomes[hopeless.run_id]
    assert isinstance(failure, Failure)
    assert failure.kind == "killed"
    assert "SIGSEGV" in failure.message


def test_a_failure_of_the_run_itself_is_not_tried_again_unless_asked(bench: Bench) -> None:
    run = run_of("fails")
    bench.sweep([run])
    assert bench.sweep([run]) == []
    again = bench.sweep([run], todo=[run])
    assert [event.attempt for event in again if isinstance(event, Started)] == [2]


def test_a_run_over_its_time_is_stopped_even_if_it_ignores_term(bench: Bench) -> None:
    events = ended(bench.sweep([run_of("hangs")], limits=Limits(timeout=1.0)))
    assert [each.retry for each in events] == [True, False]
    assert isinstance(events[-1].outcome, Failure)
    assert events[-1].outcome.kind == "timeout"
    assert not is_locked(bench.rundir(run_of("hangs")))


def test_a_run_that_works_without_ending_an_epoch_is_alive_until_its_time_limit(bench: Bench) -> None:
    events = ended(bench.sweep([run_of("works")], limits=Limits(timeout=0.5, time_limit=2.0)))
    assert isinstance(events[-1].outcome, Failure)
    assert "time_limit" in events[-1].outcome.message


def test_a_stopped_process_is_found_by_its_silence(bench: Bench) -> None:
    run = run_of("waits")

    def freeze(event: SweepEvent) -> None:
        if isinstance(event, Started):
            place = bench.rundir(run).attempt(event.attempt) / "pid"
            wait_for(lambda: place.exists() and bool(place.read_text()))
            os.kill(int(place.read_text()), signal.SIGSTOP)

    events = ended(bench.sweep([run], limits=Limits(timeout=1.0), on_event=freeze))
    assert [event.retry for event in events] == [True, False]
    assert isinstance(events[-1].outcome, Failure)
    assert "no processor time" in events[-1].outcome.message


def test_a_loop_and_its_reader_that_wait_for_each_other_are_found_by_their_silence(bench: Bench) -> None:
    events = ended(bench.sweep([run_of("deadlocks")], limits=Limits(timeout=1.0)))
    assert [event.retry for event in events] == [True, False]
    assert isinstance(events[-1].outcome, Failure)
    assert "no processor time" in events[-1].outcome.message


def test_a_fork_server_that_dies_costs_nothing(bench: Bench) -> None:
    if bench.start == "spawn":
        return
    runs = [run_of("waits"), *(run_of("good", seed) for seed in range(3))]
    killed = []

    def kill(event: SweepEvent) -> None:
        if isinstance(event, Started) and event.run.model == "waits":
            os.kill(parent_of(bench.rundir(runs[0]).attempt(1) / "pid"), signal.SIGKILL)
            killed.append(event)
        if isinstance(event, Ended):
            (bench.directory / "release").touch()

    events = bench.sweep(runs, on_event=kill)
    assert killed
    assert all(isinstance(outcome, Result) for outcome in bench.outcomes().values())
    assert len(bench.outcomes()) == 4
    assert sum(isinstance(event, Started) for event in events) == 4, "a run was begun twice"
    assert any("another is started" in event.message for event in events if isinstance(event, Notice))


def parent_of(pid_file: Path) -> int:
    wait_for(lambda: pid_file.exists() and bool(pid_file.read_text()))
    status = Path(f"/proc/{pid_file.read_text()}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))


def test_runs_that_do_not_fit_into_memory_together_run_one_after_the_other(bench: Bench) -> None:
    running, most = 0, 0

    def count(event: SweepEvent) -> None:
        nonlocal running, most
        running += isinstance(event, Started) - isinstance(event, Ended)
        most = max(most, running)

    bench.sweep([run_of("good", seed) for seed in range(4)], workers=4, memory=1, on_event=count)
    assert most == 1
    assert len(bench.outcomes()) == 4


def test_speed_is_measured_when_nothing_trains_and_once_for_all_seeds(bench: Bench, tmp_path: Path) -> None:
    bench.profiles = Profiles(tmp_path / "cache", {SPEC: 2})
    runs = [run_of("good", 0), run_of("good", 1), run_of("flaky")]
    events = bench.sweep(runs)
    order = [type(event) for event in events if isinstance(event, Ended | Measuring)]
    assert order[-2:] == [Measuring, Measuring], "two networks, after all that trains"
    journal = Journal(bench.directory)
    assert {each.profile["speed/latency_ms_p50"] for each in journal.outcomes().values()} == {1.5}
    assert all(each.committed for each in journal.publications().values())
    journal.close()
    more = bench.sweep([*runs, run_of("good", 2)])
    assert not any(isinstance(event, Measuring) for event in more)
    assert bench.rundir(run_of("good", 2)).read_profile() == {"speed/latency_ms_p50": 1.5}


def test_one_run_is_stopped_on_request_and_the_others_go_on(bench: Bench) -> None:
    runs = [run_of("waits"), run_of("good")]

    def stop(event: SweepEvent) -> None:
        if isinstance(event, Started) and event.run == runs[0]:
            bench.rundir(runs[0]).ask_to_stop()

    events = ended(bench.sweep(runs, on_event=stop))
    assert not any(each.retry for each in events)
    failure = bench.outcomes()[runs[0].run_id]
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.message) == ("stopped", "stopped by `stop`")
    assert isinstance(bench.outcomes()[runs[1].run_id], Result)
    assert bench.sweep(runs) == []
    (bench.directory / "release").touch()
    bench.rundir(runs[0]).ask_to_stop()  # of the time before: it does not stop the next attempt
    bench.sweep(runs, todo=[runs[0]])
    assert isinstance(bench.outcomes()[runs[0].run_id], Result)


def test_when_the_time_is_up_what_runs_is_stopped_and_goes_on_with_the_next_sweep(bench: Bench) -> None:
    runs = [run_of("waits"), run_of("good")]
    events = bench.sweep(runs, workers=1, most=1.0)
    assert [event.how for event in events if isinstance(event, Stopping)] == ["time"]
    assert bench.outcomes() == {}, "unfinished, not failed"
    (bench.directory / "release").touch()
    bench.sweep(runs)
    assert len(bench.outcomes()) == 2


def test_one_request_to_stop_lets_what_runs_finish_and_starts_nothing_more(bench: Bench) -> None:
    runs = [run_of("waits"), run_of("good")]

    def stop(event: SweepEvent) -> None:
        if isinstance(event, Started):
            bench.interrupt.requests = 1
        if isinstance(event, Stopping):
            (bench.directory / "release").touch()

    events = bench.sweep(runs, workers=1, on_event=stop)
    assert set(bench.outcomes()) == {runs[0].run_id}
    assert [event.how for event in events if isinstance(event, Stopping)] == ["drain"]


def test_two_requests_kill_and_the_next_sweep_goes_on(bench: Bench) -> None:
    run = run_of("waits")

    def stop(event: SweepEvent) -> None:
        if isinstance(event, Started):
            bench.interrupt.requests = 2

    bench.sweep([run], on_event=stop)
    assert bench.outcomes() == {}
    assert not is_locked(bench.rundir(run))
    bench.interrupt.requests = 0
    (bench.directory / "release").touch()
    bench.sweep([run])
    assert isinstance(bench.outcomes()[run.run_id], Result)


def test_a_result_that_was_not_recorded_is_found_and_not_made_again(bench: Bench) -> None:
    run = run_of("good")
    bench.sweep([run])
    (bench.directory / "journal.db").unlink()
    events = bench.sweep([run])
    assert not any(isinstance(event, Started) for event in events)
    assert isinstance(bench.outcomes()[run.run_id], Result)


def test_an_attempt_that_outlived_its_orchestrator_is_adopted(bench: Bench) -> None:
    run = run_of("waits")
    journal = Journal(bench.directory)
    journal.plan([run])
    rundir = journal.rundir(run)
    rundir.path.mkdir(parents=True)
    rundir.write_run(run)
    program = (
        "import sys; from pathlib import Path; from benchmark.rundir import RunDir; "
        "from launch.fast_local import FastLocal; import os; "
        "rundir = RunDir(Path(sys.argv[1])); "
        "launcher = FastLocal(sys.argv[3], entry=Path(sys.argv[2]), preload=()); "
        "launcher.submit(rundir.read_run(), rundir, 1, rundir.path); "
        "os._exit(0)"
    )
    journal.begin(run)
    journal.close()
    subprocess.run([sys.executable, "-c", program, str(rundir.path), str(STUB), bench.start], check=True)
    assert is_locked(rundir)

    def release(event: SweepEvent) -> None:
        if isinstance(event, Started):
            assert event.adopted
            (bench.directory / "release").touch()

    events = bench.sweep([run], on_event=release)
    assert [event.attempt for event in events if isinstance(event, Started)] == [1]
    assert isinstance(bench.outcomes()[run.run_id], Result)


def test_a_live_attempt_is_adopted_even_when_the_journal_was_moved_away(bench: Bench) -> None:
    run = run_of("waits")
    rundir = bench.rundir(run)
    rundir.path.mkdir(parents=True)
    rundir.write_run(run)
    launcher = bench.launcher()
    job = launcher.submit(run, rundir, 1, rundir.path)

    def release(event: SweepEvent) -> None:
        if isinstance(event, Started):
            assert event.adopted
            (bench.directory / "release").touch()

    bench.sweep([run], on_event=release)
    wait_for(lambda: job.poll().status == "ended")
    launcher.__exit__()
    assert isinstance(bench.outcomes()[run.run_id], Result)


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_a_job_that_was_told_to_stop_is_unfinished_and_not_failed(bench: Bench) -> None:
    run = run_of("good")
    journal = Journal(bench.directory)
    journal.plan([run])
    journal.begin(run)
    journal.close()
    rundir = bench.rundir(run)
    rundir.path.mkdir(parents=True)
    rundir.write_failure(Failure("stopped", "asked to stop by SIGTERM"))
    events = bench.sweep([run])
    assert [event.attempt for event in events if isinstance(event, Started)] == [2]
    assert isinstance(bench.outcomes()[run.run_id], Result)


def test_a_broken_profile_costs_the_profile_only(bench: Bench) -> None:
    run = run_of("good")
    rundir = bench.rundir(run)
    rundir.path.mkdir(parents=True)
    (rundir.path / "profile.json").write_text("{torn")
    bench.sweep([run])
    assert isinstance(bench.outcomes()[run.run_id], Result)


def test_a_run_that_is_run_again_has_its_own_curve(bench: Bench) -> None:
    run = run_of("good")
    bench.sweep([run])
    rundir = bench.rundir(run)
    old = rundir.read_events()
    bench.sweep([run], todo=[run])
    assert all(new.time > each.time for new, each in zip(rundir.read_events(), old, strict=True))


def test_runs_that_cannot_be_published_do_not_keep_back_the_others(bench: Bench) -> None:
    runs = [run_of("good", seed) for seed in range(4)]
    bench.uri, uri = sqlite_uri(bench.directory.parent / "file" / "x.db"), bench.uri
    (bench.directory.parent / "file").write_text("")
    bench.sweep(runs)
    for run in runs[:2]:
        (bench.rundir(run).path / "result.json").write_text("{torn")
    bench.uri = uri
    committed = {event.run.seed for event in bench.sweep(runs) if isinstance(event, Published) and event.commit}
    assert committed == {2, 3}


def test_a_second_sweep_is_told_who_holds_the_experiment(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(Busy, match=rf"process {os.getpid()} on .* since"), exclusive(tmp_path):
        pass
    with exclusive(tmp_path):
        pass


def test_a_run_that_left_the_plan_keeps_its_result_and_comes_back(bench: Bench) -> None:
    first, second = run_of("good", 0), run_of("good", 1)
    bench.sweep([first, second])
    bench.sweep([second])
    journal = Journal(bench.directory)
    assert journal.planned() == (second,)
    journal.close()
    assert set(bench.outcomes()) == {first.run_id, second.run_id}
    assert bench.sweep([first, second]) == []


def test_results_wait_on_disk_while_the_tracker_is_away(bench: Bench) -> None:
    run, uri = run_of("good"), bench.uri
    bench.uri = sqlite_uri(bench.directory.parent / "not a directory" / "x.db")
    (bench.directory.parent / "not a directory").write_text("a file")
    bench.sweep([run])
    assert isinstance(bench.outcomes()[run.run_id], Result)
    bench.uri = uri
    events = bench.sweep([run])
    assert [event.commit is not None for event in events if isinstance(event, Published)] == [True]


def test_the_job_sees_sagemakers_contract_and_one_share_of_the_cores(bench: Bench) -> None:
    run = run_of("good")
    bench.sweep([run])
    log = bench.rundir(run).log_path(1).read_text()
    assert "attempt 1 of good" in log
    document = json.loads((bench.rundir(run).path / "run.json").read_text())
    assert document["run_id"] == run.run_id


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_cancelling_kills_the_whole_process_group(tmp_path: Path, start: Start) -> None:
    entry = tmp_path / "parent.py"
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    entry.write_text(
        "import subprocess, sys, time, pathlib, os\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "pathlib.Path(os.environ['SM_OUTPUT_DIR'], 'child').write_text(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    rundir = RunDir(tmp_path / "run")
    rundir.path.mkdir()
    with FastLocal(start, entry=entry, preload=(), grace=0.5) as launcher:
        job = launcher.submit(run_of("good"), rundir, 1, tmp_path)
        marker = rundir.attempt(1) / "child"
        wait_for(lambda: marker.exists() and bool(marker.read_text()))
        job.cancel()
        wait_for(lambda: job.poll().status == "ended")
    with pytest.raises(ProcessLookupError):
        _alive(int(marker.read_text()))


def _alive(pid: int) -> None:
    """Raises ProcessLookupError when the process is gone, or only waits to be reaped."""
    for _ in range(100):
        os.kill(pid, 0)
        if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            raise ProcessLookupError
        time.sleep(0.05)
