"""Successive halving as a pure function of curves."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.halving import Halving, replayed, rungs
from benchmark.run import DataSpec, Run

RUN = Run(DataSpec(), "lenet5", data_digest="d", image_size=28, channels=1, epochs=9)


def cells(count: int, seeds: int = 1, **keys: object) -> list[Run]:
    run = dataclasses.replace(RUN, **keys)  # type: ignore[arg-type]
    return [
        dataclasses.replace(run, lr=0.001 * (1 + place), seed=seed) for seed in range(seeds) for place in range(count)
    ]


def straight(runs: list[Run]) -> dict[str, list[float]]:
    """The larger the rate, the better, after every epoch."""
    return {run.run_id: [run.lr * epoch for epoch in range(1, run.epochs + 1)] for run in runs}


@pytest.mark.parametrize(
    ("epochs", "reduction", "configurations", "expected"),
    [
        (27, 3, 27, (1, 3, 9, 27)),
        (9, 3, 3, (3, 9)),
        (10, 3, 100, (1, 2, 4, 10)),
        (1, 3, 100, (1,)),
        (20, 3, 1, (20,)),
        (16, 2, 4, (4, 8, 16)),
    ],
)
def test_rungs_end_with_all_epochs_and_leave_one(
    epochs: int, reduction: int, configurations: int, expected: tuple[int, ...]
) -> None:
    assert rungs(epochs, reduction, configurations) == expected


@pytest.mark.parametrize(("count", "seeds", "reduction"), [(9, 1, 3), (10, 2, 3), (7, 1, 2), (2, 3, 4), (1, 2, 3)])
def test_how_many_epochs_it_will_train_is_known_before(count: int, seeds: int, reduction: int) -> None:
    runs = cells(count, seeds)
    _, spent = replayed(runs, straight(runs), "val/accuracy", reduction)
    assert Halving(runs, "val/accuracy", reduction).epochs == (spent, 9 * len(runs))


def test_the_better_third_goes_on_at_each_rung() -> None:
    runs = cells(9)
    search = Halving(runs, "val/accuracy", 3)
    assert {search.until(run) for run in runs} == {1}
    curves = straight(runs)
    for run in runs[:8]:
        search.know(run, curves[run.run_id][:1], ended=False)
        assert search.decide().promoted == (), "not before all are there"
    search.know(runs[8], curves[runs[8].run_id][:1], ended=False)
    decision = search.decide()
    assert decision.promoted == tuple(runs[6:])
    assert [each.runs for each in decision.pruned] == [(run,) for run in reversed(runs[:6])]
    assert decision.pruned[0].why == (
        "stopped by the search after 1 of 9 epochs: val/accuracy 0.006, the best of 9 had 0.009, and 3 went on"
    )
    assert search.decide().promoted == (), "a rung is decided once"
    assert {search.until(run) for run in runs[6:]} == {3}


def test_seeds_of_a_configuration_stand_and_fall_together_by_their_mean() -> None:
    runs = cells(3, seeds=2)
    search = Halving(runs, "val/accuracy", 3)
    values = {run.run_id: [0.1 if run.seed else 0.9] * 3 if run.lr < 0.002 else [0.6] * 3 for run in runs}
    values |= {run.run_id: [0.2] * 3 for run in runs if run.lr > 0.0025}
    for run in runs:
        search.know(run, values[run.run_id], ended=False)
    assert {run.lr for run in search.decide().promoted} == {0.002}


def test_less_is_better_of_a_loss_and_nothing_is_worse_than_undefined() -> None:
    runs = cells(3)
    search = Halving(runs, "val/log_loss", 3)
    for run, values in zip(runs, ([2.0, 1.5, 0.5], [1.0, 1.0, 1.0], [None, math.nan, None]), strict=True):
        search.know(run, values, ended=False)
    decision = search.decide()
    assert decision.promoted == (runs[0],)
    assert "val/log_loss undefined, the best of 3 had 0.5" in decision.pruned[-1].why


def test_data_sets_do_not_compete() -> None:
    runs = [*cells(3), *cells(3, data_digest="e")]
    search = Halving(runs, "val/accuracy", 3)
    curves = straight(runs)
    for run in runs:
        search.know(run, curves[run.run_id][:3], ended=False)
    assert len(search.decide().promoted) == 2


def test_who_fails_is_not_waited_for() -> None:
    runs = cells(3)
    search = Halving(runs, "val/accuracy", 3)
    curves = straight(runs)
    for run in runs[:2]:
        search.know(run, curves[run.run_id][:3], ended=False)
    assert search.decide().promoted == ()
    search.lose(runs[2])
    assert search.decide().promoted == (runs[1],)


def test_who_has_ended_early_competes_with_what_it_has() -> None:
    runs = cells(3)
    search = Halving(runs, "val/accuracy", 3)
    for run, values in zip(runs, ([0.9], [0.5] * 3, [0.6] * 3), strict=True):
        search.know(run, values, ended=len(values) == 1)
    decision = search.decide()
    assert decision.promoted == (), "the best has its result"
    assert {run for each in decision.pruned for run in each.runs} == set(runs[1:])


@given(st.integers(1, 30), st.integers(1, 3), st.integers(2, 4), st.randoms(use_true_random=False))
def test_whatever_the_order_of_the_news_the_same_get_to_the_end(
    count: int, seeds: int, reduction: int, order: random.Random
) -> None:
    runs = cells(count, seeds)
    curves = {run.run_id: [order.random() for _ in range(run.epochs)] for run in runs}
    wanted, _ = replayed(runs, curves, "val/accuracy", reduction)
    assert wanted
    search, spent = Halving(runs, "val/accuracy", reduction), dict.fromkeys(curves, 0)
    waiting = list(runs)
    while waiting:
        run = waiting.pop(order.randrange(len(waiting)))
        spent[run.run_id] = search.until(run) or run.epochs
        search.know(run, curves[run.run_id][: spent[run.run_id]], ended=spent[run.run_id] == run.epochs)
        waiting += search.decide().promoted
    assert {run_id for run_id, epochs in spent.items() if epochs == RUN.epochs} == wanted


def test_most_of_the_epochs_are_saved() -> None:
    runs = cells(27, epochs=27)
    finished, epochs = replayed(runs, straight(runs), "val/accuracy", 3)
    assert finished == {runs[-1].run_id}
    assert epochs == 27 * 1 + 9 * 2 + 3 * 6 + 1 * 18


@pytest.mark.parametrize(("reduction", "epochs"), [(3, 1), (2, 2)])
def test_what_an_earlier_sweep_stopped_is_waited_for_by_nobody(reduction: int, epochs: int) -> None:
    """They have no more epochs than those at which they were stopped, perhaps by another reduction."""
    runs = cells(9)
    curves = straight(runs)
    search = Halving(runs, "val/accuracy", reduction)
    for run in runs:
        stopped = run in runs[:6]
        search.know(run, curves[run.run_id][: 1 if stopped else epochs], ended=stopped)
    decision = search.decide()
    assert decision.promoted == tuple(runs[6:])
    assert decision.pruned == ()
