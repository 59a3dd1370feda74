"""The live view of a sweep, line by line."""

import pytest
from rich.cells import cell_len

from benchmark.progress import Progress
from benchmark.records import Event
from benchmark.run import DataSpec, Run
from benchmark.sweep_events import Ended, EpochDone, Measuring, Started
from benchmark.view import View, bar, shorten, sparkline
from tests.sweep_support import EVENT, FAILURE, LOG, NOON, RESULT, RUN, many, progress


def drawn(state: Progress, width: int = 100, height: int = 30, now: float = NOON) -> list[str]:
    return [line.plain for line in View(state).lines(width, height, now)]


def test_a_sparkline_runs_from_the_smallest_to_the_largest_value() -> None:
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([3.0, 2.0, 1.0]) == "█▅▁"
    assert sparkline([0.5, 0.5]) == "▄▄"
    assert sparkline([0.0, None, float("nan"), 1.0]) == "▁  █"
    assert sparkline([]) == ""


def test_a_sparkline_of_many_epochs_shows_the_last_ones_on_the_scale_of_all() -> None:
    assert sparkline([0.0, *[1.0] * 30], 12) == "█" * 12


def test_the_bar_fills_by_halves_of_a_cell() -> None:
    assert ["".join(bar(share, 4)) for share in (0, 0.13, 0.5, 1, 2)] == ["────", "╸───", "━━──", "━━━━", "━━━━"]


def test_a_shortened_name_keeps_its_seed() -> None:
    assert shorten("resnet18 · seed 3", 20) == "resnet18 · seed 3"
    assert shorten("vit_tiny_patch16_224, lr 1e-3 · seed 3", 24) == "vit_tiny_patch… · seed 3"
    assert shorten("vit_tiny_patch16_224, lr 1e-3 · seed 3", 10) == "vit_tiny_…"
    assert cell_len(shorten("木木木木木木木木 · seed 3", 15)) <= 15


def test_a_run_under_way_has_a_line_with_epoch_curve_value_and_time() -> None:
    state = progress()
    state.apply(Started(RUN, 1, False), NOON)
    assert drawn(state)[2].split() == ["▸", "lenet5", "·", "seed", "0", "0/3", "60", "s"]
    for epoch, value in ((1, 0.5), (2, 0.875)):
        event = Event(epoch, epoch, NOON + 10 * epoch, {"val/accuracy": value})
        state.apply(EpochDone(RUN, event), NOON + 10 * epoch)
    heading, row = drawn(state, now=NOON + 20)[1:3]
    assert heading.split() == ["epoch", "val", "accuracy", "%", "↑", "left"]
    assert row.split() == ["▸", "lenet5", "·", "seed", "0", "2/3", "▁█", "87.5", "10", "s"]


def test_a_run_that_may_stop_early_has_an_upper_bound_and_one_that_nobody_knows_has_none() -> None:
    run = Run(DataSpec("digits"), "lenet5", data_digest="a", epochs=3, early_stopping=2)
    known, unknown = progress([run]), progress(seconds=None)
    known.apply(Started(run, 1, False), NOON)
    unknown.apply(Started(RUN, 1, False), NOON)
    assert drawn(known)[2].endswith("≤ 60 s")
    assert drawn(unknown)[2].endswith("–")
    assert "about" not in drawn(unknown)[-1]


def test_the_summary_counts_and_foretells() -> None:
    runs = many(8)
    state = progress(runs, workers=2, seconds=600)
    state.apply(Ended(runs[0], FAILURE, False, LOG), NOON + 60)
    state.apply(Ended(runs[1], RESULT, False, LOG), NOON + 60)
    summary, best = drawn(state, now=NOON + 60)[-2:]
    assert summary == "━━━━━━" + "─" * 18 + "  1 done, 1 failed, 6 left · 60 s so far · about 30 min left"
    assert best == "best so far: test/accuracy 0.8000, lenet5 · seed 1"


def test_what_happens_besides_training_has_a_line() -> None:
    state = progress()
    assert not any("▸" in line for line in drawn(state))
    state.apply(Ended(RUN, RESULT, False, LOG), NOON)
    assert "▸ publishing to MLflow" in drawn(state)
    state.apply(Measuring(RUN, 3, 9), NOON)
    assert "▸ measuring the speed of lenet5 (3/9), nothing else runs" in drawn(state)


def test_columns_do_not_move_when_runs_come_and_go() -> None:
    runs = [*many(2), *many(2, "a_model_with_a_much_longer_name")]
    state = progress(runs)
    state.apply(Started(runs[0], 1, False), NOON)
    short = drawn(state)[1].index("epoch")
    state.apply(Started(runs[3], 1, False), NOON)
    assert drawn(state)[1].index("epoch") == short


@pytest.mark.parametrize("width", [200, 100, 80, 60, 44, 20])
@pytest.mark.parametrize("height", [50, 24, 10, 5, 3])
def test_the_view_fits_into_any_terminal(width: int, height: int) -> None:
    runs = many(16, "a_model_with_a_long_name_and_many_settings_木木木木")
    state = progress(runs, workers=16)
    for run in runs:
        state.apply(Started(run, 1, False), NOON)
        state.apply(EpochDone(run, EVENT), NOON)
    lines = drawn(state, width, height)
    rows = sum(line.startswith("▸") for line in lines)
    assert len(lines) < max(height, 4)
    assert all(cell_len(line) < width for line in lines)
    if rows < 16:
        assert f"… and {16 - rows} more" in lines
