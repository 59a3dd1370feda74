"""How far a sweep is, and how long it still takes."""

from pathlib import Path

import pytest

from benchmark.progress import Progress, Running, epoch_seconds, makespan, watched
from benchmark.publishing import Published
from benchmark.records import Event, Failure, Result
from benchmark.run import DataSpec, Run
from benchmark.sweep_events import Ended, EpochDone, Measuring, Started, Stopping

RUNS = [Run(DataSpec("digits"), "lenet5", data_digest="a", epochs=10, seed=seed) for seed in range(6)]
NAMES = {run.run_id: f"lenet5 · seed {run.seed}" for run in RUNS}
LOG = Path("log.txt")
NOON = 1_000_000.0


def event(epoch: int, time: float, seconds: float | None = None) -> Event:
    return Event(epoch, epoch, time, {"val/accuracy": epoch / 10, "cost/train_seconds": seconds})


def running(started: float, *events: Event, expected: float | None = None) -> Running:
    return Running("lenet5", 10, False, expected, started, {each.epoch: each for each in events})


def result(run: Run, value: float) -> Result:
    return Result(run.run_id, {"test/accuracy": value, "test/log_loss": value}, {}, 2, 3, 10.0, 25.0, "a network", {})


def progress(expected: float | None = 100.0, workers: int = 2, primary: str = "test/accuracy") -> Progress:
    return Progress(NAMES, primary, len(RUNS), NOON, RUNS, workers, lambda run: expected)


def test_an_epoch_takes_what_the_median_of_the_last_ones_took() -> None:
    events = [event(1, 10), event(2, 20), event(3, 30), event(4, 3600), event(5, 3612)]
    assert epoch_seconds(events, 0.0) == 11


def test_epochs_that_were_not_all_seen_count_for_as_many_as_they_are() -> None:
    assert epoch_seconds([event(2, 20), event(5, 50)], 0.0) == 10


def test_the_pause_between_two_attempts_is_no_time_of_an_epoch() -> None:
    earlier = [event(1, 10, 8.0), event(2, 20, 16.0)]
    assert epoch_seconds(earlier, since=9000) == 8
    assert epoch_seconds([*earlier, event(3, 9012, 24.0)], since=9000) == 8
    assert epoch_seconds([*earlier, event(3, 9012, 24.0), event(4, 9021, 32.0)], since=9000) == 9


def test_a_clock_that_went_back_leaves_the_training_seconds() -> None:
    assert epoch_seconds([event(1, 50, 8.0), event(2, 40, 16.0)], 0.0) == 8
    assert epoch_seconds([event(1, 50), event(2, 40)], 0.0) is None
    assert epoch_seconds([], 0.0) is None


def test_a_run_without_epochs_is_expected_to_take_its_forecast_as_long_as_that_holds() -> None:
    assert running(NOON).seconds_left(NOON + 5) is None
    assert running(NOON, expected=60).seconds_left(NOON + 5) == 55
    assert running(NOON, expected=60).seconds_left(NOON + 61) is None


def test_a_run_with_epochs_takes_what_they_take() -> None:
    run = running(NOON, event(1, NOON + 10, 9.0), event(2, NOON + 20, 18.0), expected=9999)
    assert run.seconds_left(NOON + 20) == 80
    assert run.seconds_left(NOON + 26) == 74
    assert run.seconds_left(NOON + 90) == 70  # the third epoch is late; seven come after it


def test_a_run_that_went_through_its_epochs_has_no_seconds_left() -> None:
    run = running(NOON, event(9, NOON + 90), event(10, NOON + 100))
    assert run.seconds_left(NOON + 100) == 0
    assert run.seconds_left(NOON + 130) == 0


def test_epochs_that_are_read_again_at_once_do_not_look_fast() -> None:
    run = running(NOON, *(event(epoch, NOON - 5000 + 10 * epoch, 8.0 * epoch) for epoch in range(1, 6)))
    assert run.seconds_left(NOON) == 40
    assert run.seconds_left(NOON + 3) == 37
    assert run.is_old(event(5, NOON - 4950))
    assert not run.is_old(event(6, NOON + 11))


@pytest.mark.parametrize(
    ("busy", "waiting", "workers", "seconds"),
    [
        ([], [], 2, 0),
        ([5, 3], [], 2, 5),
        ([5, 3], [4], 2, 7),
        ([], [4, 4, 4, 4], 2, 8),
        ([], [9, 1, 1, 1], 2, 9),
        ([10], [1, 1], 4, 10),
        ([8, 6, 4], [5], 2, 11),  # three go on, two at a time from now: the fourth waits until one place is free
        ([], [4, 4], 1, 8),
    ],
)
def test_waiting_runs_start_where_a_worker_is_free_first(
    busy: list[float], waiting: list[float], workers: int, seconds: float
) -> None:
    assert makespan(busy, waiting, workers) == seconds


def test_the_sweep_takes_what_its_workers_need_for_what_is_left() -> None:
    sweep = progress()
    assert sweep.seconds_left(NOON) == 300
    sweep.apply(Started(RUNS[0], 1, False), NOON)
    sweep.apply(Started(RUNS[1], 1, False), NOON)
    assert sweep.seconds_left(NOON + 10) == 290
    sweep.apply(Ended(RUNS[0], result(RUNS[0], 0.5), False, LOG), NOON + 50)
    assert sweep.seconds_left(NOON + 50) == 250
    assert (sweep.done, sweep.failed, sweep.left) == (1, 0, 5)


def test_what_is_submitted_beyond_those_that_work_waits_for_its_turn_in_a_shared_job() -> None:
    sweep = progress(expected=100.0, workers=2)
    for run in RUNS:
        sweep.apply(Started(run, 1, adopted=False), NOON)
    assert sweep.seconds_left(NOON + 1) == pytest.approx(300, abs=2), "six runs, two at a time"
    for number, run in enumerate(RUNS[:3]):
        sweep.apply(EpochDone(run, event(1, NOON + 10 * number)), NOON + 10 * number)
        sweep.apply(EpochDone(run, event(2, NOON + 10 * number + 10)), NOON + 10 * number + 10)
    assert sweep.seconds_left(NOON + 30) == pytest.approx(80 + 200, abs=31), "three have begun and go on"


def test_of_a_run_that_waited_in_a_shared_job_counts_what_it_took_itself() -> None:
    sweep = progress(expected=None, workers=1)
    for run in RUNS[:3]:
        sweep.apply(Started(run, 1, adopted=False), NOON)
    sweep.apply(Ended(RUNS[0], result(RUNS[0], 0.5), False, LOG), NOON + 1000)
    assert sweep.seconds_left(NOON + 1000) == pytest.approx(4 * 15)


def test_without_a_forecast_a_run_takes_as_long_as_the_others() -> None:
    sweep = progress(expected=None)
    assert sweep.seconds_left(NOON) is None
    sweep.apply(Started(RUNS[0], 1, False), NOON)
    sweep.apply(Ended(RUNS[0], result(RUNS[0], 0.5), False, LOG), NOON + 40)
    assert sweep.seconds_left(NOON + 40) == 120
    sweep.apply(Started(RUNS[1], 1, False), NOON + 40)
    assert sweep.seconds_left(NOON + 50) == 110


def test_of_runs_that_nobody_named_nothing_is_foretold() -> None:
    sweep = Progress(NAMES, "test/accuracy", 2, NOON)
    sweep.apply(Started(RUNS[0], 1, False), NOON)
    sweep.apply(EpochDone(RUNS[0], event(1, NOON + 10, 9.0)), NOON + 10)
    assert sweep.seconds_left(NOON + 10) is None


def test_a_run_that_is_tried_again_waits_again() -> None:
    sweep = progress()
    sweep.apply(Started(RUNS[0], 1, False), NOON)
    sweep.apply(Ended(RUNS[0], Failure("killed", "no memory"), True, LOG), NOON + 1)
    assert (sweep.ended, sweep.left, sweep.running) == (0, 6, {})
    assert sweep.seconds_left(NOON + 1) == 300


def test_when_stopping_only_what_runs_takes_time() -> None:
    sweep = progress()
    sweep.apply(Started(RUNS[0], 1, False), NOON)
    sweep.apply(Stopping("drain", 1), NOON)
    assert sweep.seconds_left(NOON + 20) == 80
    sweep.apply(Stopping("kill", 1), NOON + 20)
    assert sweep.running == {}


def test_what_runs_counts_for_the_share_of_its_epochs() -> None:
    sweep = progress()
    assert sweep.share == 0
    sweep.apply(Started(RUNS[0], 1, False), NOON)
    sweep.apply(EpochDone(RUNS[0], event(5, NOON + 10, 9.0)), NOON + 10)
    assert sweep.share == pytest.approx(0.5 / 6)


def test_measuring_is_over_when_the_next_thing_is_published() -> None:
    sweep = progress()
    sweep.apply(Measuring(RUNS[0], 1, 1), NOON)
    assert sweep.measuring is not None
    sweep.apply(Published(RUNS[0], "id", None), NOON)
    assert sweep.measuring is None


@pytest.mark.parametrize(("primary", "best"), [("test/accuracy", 0.9), ("test/log_loss", 0.3)])
def test_the_best_run_is_the_one_that_the_primary_metric_prefers(primary: str, best: float) -> None:
    sweep = progress(primary=primary)
    for run, value in zip(RUNS, (0.5, 0.9, 0.3), strict=False):
        sweep.apply(Ended(run, result(run, value), False, LOG), NOON)
    assert sweep.best is not None
    assert sweep.best[0] == best


def test_the_forecast_is_asked_anew_when_runs_have_ended() -> None:
    seconds = 100.0
    sweep = Progress(NAMES, "test/accuracy", len(RUNS), NOON, RUNS, 1, lambda run: seconds)
    seconds = 10.0
    assert sweep.seconds_left(NOON) == 600
    sweep.apply(Ended(RUNS[0], result(RUNS[0], 0.5), False, LOG), NOON + 60)
    assert sweep.seconds_left(NOON + 60) == 50


@pytest.mark.parametrize(
    ("primary", "name"),
    [
        ("test/accuracy", "val/accuracy"),
        ("test/log_loss", "val/log_loss"),
        ("val/log_loss", "val/log_loss"),
        ("test/roc_auc_macro", "val/accuracy"),
        ("cost/train_seconds", "val/accuracy"),
        ("speed/images_per_second", "val/accuracy"),
    ],
)
def test_while_training_the_primary_metric_shows_as_its_twin_on_the_validation_images(primary: str, name: str) -> None:
    assert watched(primary, {"val/accuracy": 0.5, "val/log_loss": 1.0, "cost/train_seconds": 3.0}) == name
