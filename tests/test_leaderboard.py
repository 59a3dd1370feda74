"""Runs to a leaderboard: aggregation, ranks, and that nothing disappears."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.records import Result
from reports.aggregate import aggregate
from reports.leaderboard import DataSummary, Entry, Header, build
from reports.settings import labels, varying_keys, write
from tests.report_support import DIGEST, HEADER, done, failed, make_run, pending

FINITE = st.floats(-1e9, 1e9, allow_nan=False)


@given(st.lists(FINITE, min_size=2, max_size=20))
def test_mean_and_sd_are_numpys(values: list[float]) -> None:
    found = aggregate(values)
    assert found.mean == pytest.approx(float(np.mean(values)), rel=1e-9, abs=1e-9)
    assert found.sd == pytest.approx(float(np.std(values, ddof=1)), rel=1e-6, abs=1e-6)
    assert found.values == tuple(values)


@given(st.lists(FINITE, min_size=1, max_size=8), st.randoms())
def test_an_aggregate_does_not_depend_on_the_order_of_the_seeds(values: list[float], random: Any) -> None:
    shuffled = random.sample(values, len(values))
    assert aggregate(shuffled).mean == aggregate(values).mean
    assert aggregate(shuffled).sd == aggregate(values).sd


def test_one_seed_has_no_sd() -> None:
    assert aggregate([0.5]).sd is None


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, math.inf]])
def test_a_mean_of_nothing_or_of_what_is_not_finite_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one value"):
        aggregate(values)


@given(st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.7, None]), min_size=1, max_size=8), st.booleans())
def test_a_rank_is_one_more_than_the_number_of_better_rows(values: list[float | None], lower: bool) -> None:
    primary = "test/log_loss" if lower else "test/accuracy"
    entries = [done(make_run(f"model{i}"), 0.5, metrics={primary: value}) for i, value in enumerate(values)]
    rows = build(entries, Header("e", primary=primary)).tables[0].rows
    found = {row.model: row.rank for row in rows}
    for i, value in enumerate(values):
        better = [v for v in values if v is not None and value is not None and (v < value if lower else v > value)]
        assert found[f"model{i}"] == (None if value is None else len(better) + 1)
    ranks = [math.inf if row.rank is None else row.rank for row in rows]
    assert ranks == sorted(ranks)


@given(st.lists(st.sampled_from(["done", "failed", "pending", "undefined"]), min_size=1, max_size=12), st.randoms())
def test_every_run_is_in_a_mean_or_listed_with_a_reason(kinds: list[str], random: Any) -> None:
    make = {"done": done, "failed": failed, "pending": pending, "undefined": lambda run: done(run, None)}
    entries = [make[kind](make_run(f"model{i % 3}", seed=i)) for i, kind in enumerate(kinds)]
    board = build(random.sample(entries, len(entries)), HEADER)
    listed = {each.entry.run.run_id for each in board.not_ranked}
    for kind, entry in zip(kinds, entries, strict=True):
        assert (entry.run.run_id in listed) == (kind != "done")
    assert all(each.kind and each.reason for each in board.not_ranked)
    planned = [entry for table in board.tables for row in table.rows for entry in row.entries]
    finished = {entry.run.configuration_id for entry, kind in zip(entries, kinds, strict=True) if entry.result}
    assert {entry.run.configuration_id for entry in planned} == finished
    assert sum(row.n_seeds for table in board.tables for row in table.rows) == sum(e.status == "done" for e in entries)


def test_the_order_of_the_entries_changes_nothing_of_a_table() -> None:
    entries = [done(make_run(model, seed), 0.7 + seed / 100) for model in ("a", "b", "c") for seed in (0, 1)]
    assert build(entries, HEADER).tables == build(entries[::-1], HEADER).tables


def test_a_configuration_with_failed_seeds_is_ranked_on_the_others() -> None:
    entries = [done(make_run(seed=0), 0.9), failed(make_run(seed=1)), done(make_run(seed=2), 0.7)]
    (row,) = build(entries, HEADER).tables[0].rows
    assert (row.rank, row.n_seeds, row.planned_seeds) == (1, 2, 3)
    assert row.metrics["test/accuracy"].values == (0.9, 0.7)


def test_a_row_without_the_primary_metric_keeps_its_place_below_and_says_why() -> None:
    undefined = done(make_run("b"), None, undefined={"test/accuracy": "no test images"})
    board = build([undefined, done(make_run("a"), 0.1)], HEADER)
    assert [(row.model, row.rank) for row in board.tables[0].rows] == [("a", 1), ("b", None)]
    assert [(each.kind, each.reason) for each in board.not_ranked] == [("undefined", "test/accuracy: no test images")]


def test_one_undefined_seed_makes_the_mean_undefined_rather_than_a_mean_of_fewer() -> None:
    reason = {"test/roc_auc_macro": "one class only"}
    entries = [
        done(make_run(seed=0), metrics={"test/roc_auc_macro": 0.9}),
        done(make_run(seed=1), metrics={"test/roc_auc_macro": None}, undefined=reason),
    ]
    found = build(entries, HEADER).tables[0].rows[0].metrics["test/roc_auc_macro"]
    assert (found.mean, found.values, found.reason) == (None, (), "seed 1: one class only")


def test_a_value_that_is_not_finite_is_never_ranked() -> None:
    board = build([done(make_run("a"), math.nan), done(make_run("b"), 0.2)], HEADER)
    assert [row.model for row in board.tables[0].ranked] == ["b"]
    assert board.not_ranked[0].reason == "test/accuracy: the value is nan"


def test_a_profile_not_yet_taken_does_not_count_against_the_seeds_that_have_one() -> None:
    entries = [done(make_run(seed=0), profile={"speed/latency_ms_p50": 3.0}), done(make_run(seed=1))]
    assert build(entries, HEADER).tables[0].rows[0].metrics["speed/latency_ms_p50"].values == (3.0,)


@given(st.lists(st.tuples(st.booleans(), st.none() | st.floats(0.001, 50)), min_size=1, max_size=9))
def test_every_dollar_counts_and_none_is_invented(runs: list[tuple[bool, float | None]]) -> None:
    entries = [
        (done if success else failed)(make_run(seed=seed), profile={"cost/usd": usd})
        for seed, (success, usd) in enumerate(runs)
    ]
    spent = build([*entries, pending(make_run("b"))], HEADER).spent
    assert spent is not None
    known = [usd for _, usd in runs if usd is not None]
    assert (spent.runs, spent.unknown) == (len(runs), len(runs) - len(known))
    assert spent.known_usd == pytest.approx(sum(known))
    assert (spent.usd is None) == (len(known) < len(runs))


def test_a_mean_cost_is_of_all_seeds_that_have_bills_and_unknown_if_one_is() -> None:
    reason = "no price of its instance type, or no billed seconds"
    entries = [
        done(make_run("a", 0), profile={"cost/usd": 0.5}),
        done(make_run("a", 1), profile={"cost/usd": 1.5}),
        failed(make_run("a", 2), profile={"cost/usd": 9.0}),
        done(make_run("b", 0), profile={"cost/usd": 0.5}),
        done(make_run("b", 1), profile={"cost/usd": None}),
        done(make_run("c", 0)),
    ]
    board = build(entries, Header("e", primary="cost/usd"))
    rows = {row.model: row for row in board.tables[0].rows}
    assert (rows["a"].rank, rows["a"].mean("cost/usd")) == (1, 1.0)
    assert (rows["b"].rank, rows["b"].metrics["cost/usd"].reason) == (None, f"seed 1: {reason}")
    assert rows["c"].rank is None
    reasons = {each.label: each.reason for each in board.not_ranked if each.kind == "undefined"}
    assert reasons == {"b": f"cost/usd: {reason}", "c": "cost/usd: not recorded"}


def test_where_nothing_was_billed_nothing_was_spent() -> None:
    assert build([done(make_run()), failed(make_run("b")), pending(make_run("c"))], HEADER).spent is None


def test_data_sets_are_ranked_apart() -> None:
    header = Header("e", (DataSummary("one", DIGEST), DataSummary("two", "f" * 64)))
    entries = [done(make_run("a"), 0.9), done(make_run("b", digest="f" * 64), 0.1)]
    board = build(entries, header)
    assert [(table.data.label, [row.rank for row in table.rows]) for table in board.tables] == [
        ("one", [1]),
        ("two", [1]),
    ]


def test_what_varies_becomes_a_column_and_the_rest_does_not() -> None:
    entries = [done(make_run(lr=0.1)), failed(make_run(lr=0.2)), done(make_run("vit", model_args={"depth": 6}))]
    table = build(entries, HEADER).tables[0]
    assert set(table.varying) == {"lr", "model_args.depth"}
    assert table.fixed["epochs"] == 5
    assert not {"lr", "model", "model_args.depth"} & set(table.fixed)


def test_true_and_1_are_different_settings() -> None:
    assert varying_keys([{"model": "a", "x": True}, {"model": "a", "x": 1}]) == ("x",)


def test_labels_name_what_tells_the_configurations_of_a_model_apart() -> None:
    settings = {"1": {"model": "a", "lr": 0.001}, "2": {"model": "a", "lr": 0.1}, "3": {"model": "b", "lr": 0.5}}
    assert labels(settings) == {"1": "a, lr 1e-3", "2": "a, lr 0.1", "3": "b"}


def test_labels_are_unique_even_where_the_settings_read_the_same() -> None:
    found = labels({"111111x": {"model": "a", "x": "1"}, "222222x": {"model": "a", "x": 1}})
    assert len(set(found.values())) == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.001, "1e-3"), (3e-4, "3e-4"), (0.00125, "1.25e-3"), (0.05, "0.05"), (1.0, "1"), (0.0, "0"), (None, "none"),
     (True, "true"), (7, "7"), ("crop", "crop")],
)  # fmt: skip
def test_settings_are_written_as_people_write_them(value: Any, text: str) -> None:
    assert write(value) == text


def test_the_same_run_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="given twice"):
        build([done(make_run()), done(make_run())], HEADER)


def test_a_primary_metric_that_cannot_rank_is_an_error_that_lists_the_others() -> None:
    with pytest.raises(ValueError, match=r"speed/batch_size.*choose one of test/accuracy"):
        build([], Header("e", primary="speed/batch_size"))


def test_a_result_and_a_status_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="is 'done'"):
        Entry(make_run(), "done")
    with pytest.raises(ValueError, match="is 'failed'"):
        Entry(make_run(), "failed", Result("x", {}, {}, 1, 1, 0.0, 1.0, "", {}))
