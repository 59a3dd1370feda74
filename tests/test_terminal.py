"""What a person reads while a sweep runs."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmark.publishing import Published, Trouble
from benchmark.run import DataSpec, Run
from benchmark.rundir import Event, Failure, Result
from benchmark.sweep import Ended, EpochDone, Started, Stopping
from benchmark.terminal import Animated, Plain
from benchmark.words import Narrator, table

ROOT = Path(__file__).resolve().parent.parent
RUN = Run(DataSpec("digits"), "lenet5", data_digest="a", epochs=3)
NAMES = {RUN.run_id: "lenet5 · seed 0"}
EVENT = Event(2, 20, 0.0, {"val/accuracy": 0.875, "cost/train_seconds": 12.3})
RESULT = Result(RUN.run_id, {"test/accuracy": 0.8}, {}, 2, 3, 10.0, 25.0, "a network", {})
FAILURE = Failure("error", "loss NaN at step 3", "first\nsecond\nlast line")
LOG = Path("log.txt")


def narrator() -> Narrator:
    return Narrator(NAMES, "test/accuracy", 2)


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


def test_stopping_says_what_a_second_ctrl_c_does() -> None:
    assert "Ctrl-C again" in str(narrator().line(Stopping("drain", 2)))
    assert "the next `run`" in str(narrator().line(Stopping("kill", 2)))


def test_the_same_trouble_is_told_once() -> None:
    tell = narrator().line
    assert "wait on disk" in str(tell(Trouble("server down")))
    assert tell(Trouble("server down")) is None


def test_without_a_terminal_there_are_plain_lines() -> None:
    lines: list[str] = []
    with Plain(narrator(), lines.append) as terminal:
        terminal.show(Started(RUN, 1, False))
        terminal.show(Published(RUN, "id", None))
    assert len(lines) == 1


def test_the_live_view_has_a_line_for_each_run_under_way_and_ends_stay() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, color_system=None)
    with Animated(narrator(), console) as terminal:
        terminal.show(Started(RUN, 1, False))
        terminal.show(EpochDone(RUN, EVENT))
        terminal._live.refresh()
        assert "▸ lenet5 · seed 0" in out.getvalue()
        assert "epoch 2/3" in out.getvalue()
        terminal.show(Ended(RUN, RESULT, False, LOG))
        assert terminal.rows == {}
    assert "done: test/accuracy 0.8000" in out.getvalue()


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc  d"]


@pytest.mark.slow
def test_in_a_real_terminal_the_view_moves_and_the_summary_stays(tmp_path: Path) -> None:
    (tmp_path / "experiments.yaml").write_text(
        "name: tiny\ndata: {source: synthetic, train_size: 200, test_size: 50}\ndefaults: {model: lenet5, epochs: 2}\n"
    )
    parent, child = pty.openpty()
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", "run"], cwd=tmp_path, env=variables, stdout=child, stderr=child
    )
    os.close(child)
    shown = b""
    while True:
        try:
            shown += os.read(parent, 65536)
        except OSError:  # the terminal is closed
            break
    os.close(parent)
    text = shown.decode(errors="replace")
    assert process.wait(60) == 0, text
    assert "▸ lenet5" in text
    assert "1 of 1 runs done" in text
