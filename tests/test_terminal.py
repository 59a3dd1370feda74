"""What a person reads while a sweep runs."""

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from benchmark.publishing import Published, Trouble
from benchmark.records import Event, Failure, Result
from benchmark.run import Run
from benchmark.sweep_events import Ended, EpochDone, Measuring, Notice, Started, Stopping, SweepEvent
from benchmark.terminal import Animated, Plain, choose
from benchmark.words import Narrator, duration, printable, progress_line, table
from tests.sweep_support import EVENT, FAILURE, LOG, NOON, RESULT, RUN, many, progress

ROOT = Path(__file__).resolve().parent.parent
NAMES = {RUN.run_id: "lenet5 · seed 0"}
COLOUR = re.compile(r"\x1b\[[0-9;]*(?<![0-9])(3[0-7]|38|9[0-7])(?![0-9])[0-9;]*m")


def narrator() -> Narrator:
    return Narrator(NAMES, "test/accuracy", 2)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def whole_sweep(runs: Sequence[Run], workers: int) -> Iterator[tuple[float, SweepEvent]]:
    """When (Unix seconds), what: runs of 3 epochs of 10 s, ``workers`` at once; every 50th fails."""
    for number, run in enumerate(runs):
        start = NOON + number // workers * 31.0
        yield start, Started(run, 1, False)
        for epoch in range(1, 4):
            metrics = {"val/accuracy": epoch / 4, "cost/train_seconds": 9.0 * epoch}
            yield start + 10 * epoch, EpochDone(run, Event(epoch, epoch, start + 10 * epoch, metrics))
        outcome = FAILURE if number % 50 == 49 else Result(run.run_id, dict(RESULT.metrics), {}, 2, 3, 0, 30, "", {})
        yield start + 30.5, Ended(run, outcome, False, LOG)


def test_each_event_is_one_line_that_names_the_run() -> None:
    tell = narrator().line
    begin = f"{RUN.run_id[:6]} lenet5 · seed 0: "
    assert tell(Started(RUN, 1, False)) == f"[0/2] {begin}started"
    assert tell(Started(RUN, 2, False)) == f"[0/2] {begin}started, try 2"
    assert tell(Started(RUN, 1, True)) == f"[0/2] {begin}goes on"
    assert tell(EpochDone(RUN, EVENT)) == f"[0/2] {begin}epoch 2/3 · validation accuracy 87.5 % · 12 s"
    assert tell(Ended(RUN, FAILURE, True, LOG)) == f"[0/2] {begin}error: loss NaN at step 3; tried again later"
    assert tell(Ended(RUN, RESULT, False, LOG)) == f"[1/2] {begin}done: test/accuracy 0.8000 in 15 s"
    failed = tell(Ended(RUN, FAILURE, False, LOG))
    assert failed is not None
    assert failed.startswith(f"[2/2] {begin}FAILED, error: loss NaN at step 3")
    assert "last line" in failed
    assert failed.endswith("log: log.txt")
    diverged = str(tell(Ended(RUN, Failure("diverged", "loss NaN", "inside"), False, LOG)))
    assert "a smaller lr" in diverged
    assert "inside" not in diverged
    assert tell(Published(RUN, "id", None)) is None
    assert tell(Measuring(RUN, 3, 9)) == "measuring the speed of lenet5 (3/9), nothing else runs"
    assert tell(Notice("the fork server was started again")) == "the fork server was started again"


def test_an_epoch_tells_the_twin_of_the_primary_metric() -> None:
    tell = Narrator(NAMES, "test/log_loss", 2).line
    assert "epoch 2/3 · validation log loss .500 · 12 s" in str(tell(EpochDone(RUN, EVENT)))


def test_stopping_says_what_a_second_ctrl_c_does_and_what_a_full_disk_needs() -> None:
    assert "Ctrl-C again" in str(narrator().line(Stopping("drain", 2)))
    assert "the next `run`" in str(narrator().line(Stopping("kill", 2)))
    full = str(narrator().line(Stopping("disk", 2)))
    assert "2 under way are finished" in full
    assert "free some space and `run` again" in full


def test_the_same_trouble_is_told_once() -> None:
    tell = narrator().line
    assert "wait on disk" in str(tell(Trouble("server down")))
    assert tell(Trouble("server down")) is None


def test_colours_and_control_characters_of_a_log_are_not_repeated() -> None:
    assert printable("\x1b[1;31mred\x1b[0m and\rback\n\ttab") == "red andback\n\ttab"
    failure = Failure("error", "\x1b[31mbad", "one\n\x1b[2Ktwo")
    assert "\x1b" not in str(narrator().line(Ended(RUN, failure, True, LOG)))
    assert "\x1b" not in str(narrator().line(Ended(RUN, failure, False, LOG)))


def test_durations_are_as_coarse_as_they_are_long() -> None:
    shown = [duration(each) for each in (0, 45, 119.4, 119.6, 170, 3570, 4800, 86_390, 90_000, 180_000)]
    assert shown == [
        "0 s",
        "45 s",
        "119 s",
        "2 min",
        "3 min",
        "1 h 0 min",
        "1 h 20 min",
        "1 d 0 h",
        "1 d 1 h",
        "2 d 2 h",
    ]


def test_the_progress_line_has_counts_and_the_time_left() -> None:
    assert progress_line(38, 2, 160, 700) == "[40/200] 38 done, 2 failed, 160 left · about 12 min left"
    assert progress_line(3, 0, 1, None) == "[3/4] 3 done, 1 left"


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc  d"]


def test_without_a_terminal_there_are_plain_lines() -> None:
    lines: list[str] = []
    with Plain(narrator(), lines.append, progress()) as terminal:
        terminal.show(Started(RUN, 1, False))
        terminal.show(Published(RUN, "id", None))
    assert len(lines) == 1


def test_epochs_of_an_earlier_attempt_are_not_told_again() -> None:
    lines: list[str] = []
    with Plain(narrator(), lines.append, progress(), clock=lambda: NOON) as terminal:
        terminal.show(Started(RUN, 2, False))
        terminal.show(EpochDone(RUN, Event(1, 1, NOON - 500, {})))
        terminal.show(EpochDone(RUN, Event(2, 2, NOON + 10, {})))
    assert [line.partition(": ")[2][:9] for line in lines] == ["started, ", "epoch 2/3"]


def test_a_sweep_of_many_runs_tells_failures_and_now_and_then_how_far_it_is() -> None:
    runs = many(200)
    state, lines, clock = progress(runs, workers=4, seconds=31.0), list[str](), Clock()
    with Plain(Narrator(state.names, "test/accuracy", 200), lines.append, state, clock) as terminal:
        for clock.now, event in sorted(whole_sweep(runs, 4), key=lambda each: each[0]):
            terminal.show(event)
        terminal.show(Notice("the fork server was started again"))
    failures = [line for line in lines if "FAILED" in line]
    steps = [line for line in lines if " left · about " in line]
    assert len(failures) == 4
    assert all("error: loss NaN at step 3\n    log: log.txt" in line for line in failures)
    assert 15 <= len(steps) <= 20
    assert steps[3] == "[40/200] 40 done, 160 left · about 21 min left"
    assert lines == [line for line in lines if line in failures or line in steps or "fork server" in line]


def test_a_sweep_of_slow_runs_says_every_five_minutes_that_it_lives() -> None:
    runs, lines, clock = many(50), list[str](), Clock()
    state = progress(runs)
    with Plain(Narrator(state.names, "test/accuracy", 50), lines.append, state, clock) as terminal:
        terminal.show(Started(runs[0], 1, False))
        for minute in range(1, 61):
            clock.now = NOON + 60 * minute
            terminal.show(EpochDone(runs[0], Event(minute, minute, clock.now, {})))
    assert len(lines) == 12


def test_many_runs_in_a_terminal_leave_lines_only_where_they_fail() -> None:
    runs, out, clock = many(200), io.StringIO(), Clock()
    state = progress(runs, workers=4, seconds=31.0)
    console = Console(file=out, force_terminal=True, width=100, height=30, color_system=None)
    tell = Narrator(state.names, "test/accuracy", 200)
    with Animated(tell, console, state, clock) as terminal:
        for clock.now, event in sorted(whole_sweep(runs, 4), key=lambda each: each[0]):
            terminal.show(event)
        terminal.refresh()
        assert "196 done, 4 failed, 0 left" in out.getvalue()
        assert "best so far: test/accuracy 0.8000, lenet5 · seed 0" in out.getvalue()
    assert out.getvalue().count("FAILED") == 4
    assert out.getvalue().count("log: log.txt") == 4
    assert ": done:" not in out.getvalue()


def test_the_live_view_has_a_line_for_each_run_under_way_and_ends_stay() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, color_system=None)
    state = progress()
    with Animated(narrator(), console, state) as terminal:
        terminal.show(Started(RUN, 1, False))
        terminal.show(EpochDone(RUN, EVENT))
        terminal.refresh()
        assert "▸ lenet5 · seed 0  " in out.getvalue()
        assert " 2/3 " in out.getvalue()
        terminal.show(Ended(RUN, RESULT, False, LOG))
        assert state.running == {}
    assert "done: test/accuracy 0.8000" in out.getvalue()


def test_a_long_path_is_not_broken_into_lines() -> None:
    out, path = io.StringIO(), Path("/results") / ("directory with a name " * 9) / "log.txt"
    with Animated(narrator(), Console(file=out, force_terminal=True, width=60, color_system=None), progress()) as view:
        view.show(Ended(RUN, FAILURE, False, path))
    assert f"log: {path}" in out.getvalue()


@pytest.mark.parametrize("no_colour", ["", "1"])
def test_no_color_is_honoured(no_colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", no_colour)
    out = io.StringIO()
    with Animated(narrator(), Console(file=out, force_terminal=True, color_system="256"), progress()) as terminal:
        terminal.show(Started(RUN, 1, False))
        terminal.show(Ended(RUN, FAILURE, False, LOG))
        terminal.refresh()
    assert bool(COLOUR.search(out.getvalue())) is not bool(no_colour)


class Screen(io.StringIO):
    """A text file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "term", "kind"),
    [(Screen(), "xterm", Animated), (Screen(), "dumb", Plain), (io.StringIO(), "xterm", Plain)],
)
def test_the_view_moves_only_where_the_cursor_can(
    stream: io.StringIO, term: str, kind: type[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stderr", stream)
    assert type(choose(narrator(), print, stderr=True)) is kind


def test_a_pipe_gets_no_control_codes_even_if_colours_are_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert isinstance(choose(narrator(), print, stderr=False), Plain)


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_threads")
def test_events_and_drawing_may_come_from_two_threads() -> None:
    runs = many(200)
    state = progress(runs, workers=16)
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=30)
    terminal = Animated(Narrator(state.names, "test/accuracy", 200), console, state)
    with ThreadPoolExecutor(1) as pool:
        drawing = pool.submit(lambda: [terminal._draw() for _ in range(300)])
        while not drawing.done():
            for run in runs[:16]:
                terminal.show(Started(run, 1, False))
            for run in runs[:16]:
                terminal.show(Ended(run, Failure("killed", "no memory"), True, LOG))
        drawing.result()


SYNTHETIC = """
import time
from pathlib import Path
from benchmark.run import DataSpec, Run
from benchmark.records import Event, Failure
from benchmark.sweep_events import Ended, EpochDone, Started
from benchmark.terminal import choose
from benchmark.words import Narrator

run = Run(DataSpec("digits"), "lenet5", data_digest="a", epochs=3)
narrator = Narrator({run.run_id: "lenet5 · seed 0"}, "test/accuracy", 1)
with choose(narrator, print, stderr=False, todo=[run], expected=lambda run: 60.0) as terminal:
    terminal.show(Started(run, 1, False))
    terminal.show(EpochDone(run, Event(1, 1, time.time(), {"val/accuracy": 0.5})))
    time.sleep(1.2)
    terminal.show(Ended(run, Failure("oom", "no memory"), False, Path("log.txt")))
print("the end")
"""


def in_a_terminal(command: Sequence[str], directory: Path, variables: Mapping[str, str]) -> tuple[int, str]:
    """The exit status of a program that runs in a pseudo-terminal, and all that it wrote there."""
    parent, child = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environment = {**inherited, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "120", **variables}
    process = subprocess.Popen(command, cwd=directory, env=environment, stdin=child, stdout=child, stderr=child)
    os.close(child)
    shown = b""
    while True:
        try:
            shown += os.read(parent, 65536)
        except OSError:  # the terminal is closed
            break
    os.close(parent)
    return process.wait(60), shown.decode(errors="replace")


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["colours", "NO_COLOR", "dumb"])
def test_a_real_terminal_gets_what_it_can_show(variables: dict[str, str], tmp_path: Path) -> None:
    status, text = in_a_terminal([sys.executable, "-c", SYNTHETIC], tmp_path, variables)
    assert status == 0, text
    assert "FAILED, oom: no memory" in text
    assert text.rstrip().endswith("the end")
    assert bool(COLOUR.search(text)) is (not variables)
    if variables.get("TERM") == "dumb":
        assert "\x1b" not in text
        assert "started" in text
    else:
        assert "▸ " in text
        assert "\x1b[?25h" in text  # the cursor is there again


@pytest.mark.slow
def test_in_a_real_terminal_the_view_moves_and_the_summary_stays(tmp_path: Path) -> None:
    (tmp_path / "experiments.yaml").write_text(
        "name: tiny\ndata: {source: synthetic, train_size: 200, test_size: 50}\ndefaults: {model: lenet5, epochs: 2}\n"
    )
    status, text = in_a_terminal([sys.executable, "-m", "benchmark", "run"], tmp_path, {"TERM": "xterm"})
    assert status == 0, text
    assert "▸ " in text
    assert "lenet5" in text
    assert "1 of 1 runs done" in text
