"""What a table's numbers are worth: intervals, ties, corrections, and what is left out and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmark.records import Predictions
from benchmark.rundir import RunDir
from benchmark.training.metrics import scores
from reports import samples
from reports.leaderboard import Entry, Table, build
from reports.study import Study, study
from tests.report_support import HEADER, done, make_run

HARD = np.random.default_rng(3).normal(0, 1.5, 1000)
LABELS = np.random.default_rng(4).integers(0, 3, 1000)


def network(seed: int, skill: float, n: int = 1000) -> Predictions:
    """Answers of a network of this skill to the same images, some of which are hard for all."""
    logits = np.random.default_rng(seed).normal(size=(n, 3))
    logits[np.arange(n), LABELS[:n]] += skill - HARD[:n]
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return Predictions(np.arange(n).astype(str), LABELS[:n], log_probs.astype(np.float32))


def entry(directory: Path, model: str, seed: int, predictions: Predictions) -> Entry:
    run = make_run(model, seed)
    where = directory / "кот #1" / run.run_id
    RunDir(where).write_predictions({"test": predictions}, ("a", "b", "c"))
    metrics = scores(predictions.labels, predictions.log_probs).under("test").values
    finished = done(run, metrics.pop("test/accuracy"), metrics=metrics)
    return Entry(run, "done", finished.result, directory=where)


def table_of(directory: Path, skills: dict[str, float], seeds: Sequence[int] = (0, 1, 2), primary: str = "") -> Table:
    entries = [
        entry(directory, model, seed, network(100 * place + seed, skill))
        for place, (model, skill) in enumerate(skills.items())
        for seed in seeds
    ]
    (table,) = build(entries, HEADER if not primary else type(HEADER)("t", HEADER.data, primary)).tables
    return table


def named(table: Table, found: Study) -> dict[str, bool]:
    labels = {row.configuration_id: row.label for row in table.rows}
    return {labels[key]: each.tied for key, each in found.versus.items()}


def test_a_much_worse_one_is_told_apart_and_an_equal_one_is_tied(tmp_path: Path) -> None:
    table = table_of(tmp_path, {"a": 2.0, "b": 2.0, "worse": 0.8})
    found = study(table, "test/accuracy")
    assert found.pairs == 3
    assert sorted(named(table, found).values()) == [False, True]
    assert named(table, found)["worse"] is False
    assert len(found.tied) == 1
    for each in found.versus.values():
        assert each.p <= each.adjusted
        assert each.low < each.difference < each.high
        assert each.tied == (each.p >= 0.05) == (each.low < 0 < each.high)
        assert each.apart == (each.adjusted < 0.05)
        assert each.tied or (each.more_seeds, each.more_images) == (None, None)


def test_intervals_hold_their_means_and_say_what_they_are_over(tmp_path: Path) -> None:
    table = table_of(tmp_path, {"a": 2.0, "b": 1.5})
    found = study(table, "test/accuracy")
    for row in table.rows:
        for name in ("test/accuracy", "test/f1_macro", "test/roc_auc_macro", "test/log_loss"):
            each, mean = found.interval(row.configuration_id, name), row.mean(name)
            assert each is not None
            assert mean is not None
            assert each.low < mean < each.high
            assert each.over == "seeds and images"
        rest = found.interval(row.configuration_id, "test/ece")
        assert rest is not None
        assert rest.over == "seeds"
        assert found.interval(row.configuration_id, "cost/train_seconds") is None


def test_with_one_seed_mcnemars_test_is_used_and_a_note_says_what_that_means(tmp_path: Path) -> None:
    table = table_of(tmp_path, {"a": 2.0, "b": 1.2}, seeds=[0])
    found = study(table, "test/accuracy")
    (each,) = found.versus.values()
    assert each.test == "McNemar's exact test"
    assert {each.over for values in found.intervals.values() for name, each in values.items()} == {"images"}
    assert any("one seed each" in note for note in found.notes)
    (loss,) = study(table, "test/log_loss").versus.values()
    assert loss.test == "paired z test over images"


def test_rows_are_compared_by_whatever_metric_ranks_them(tmp_path: Path) -> None:
    for primary in ("test/f1_macro", "test/roc_auc_macro", "test/log_loss"):
        table = table_of(tmp_path, {"a": 2.5, "worse": 0.5}, primary=primary)
        found = study(table, primary)
        assert named(table, found) == {"worse": False}, primary
    (loss,) = found.versus.values()
    assert loss.difference > 0


def test_a_metric_without_values_of_images_has_intervals_over_seeds_and_no_test(tmp_path: Path) -> None:
    table = table_of(tmp_path, {"a": 2.0, "b": 1.5}, primary="test/ece")
    found = study(table, "test/ece")
    assert not found.versus
    assert all(values["test/ece"].over == "seeds" for values in found.intervals.values())
    assert any("not compared by a test" in note for note in found.notes)


@pytest.mark.parametrize("damage", ["missing", "truncated", "other images", "other labels", "not what the result says"])
def test_a_run_that_cannot_be_compared_costs_its_row_the_test_and_is_named(tmp_path: Path, damage: str) -> None:
    table = table_of(tmp_path, {"a": 2.0, "b": 1.9, "c": 1.8})
    broken = next(row for row in table.rows if row.label == "b").entries[1]
    assert broken.directory is not None
    path = broken.directory / "predictions.npz"
    good = network(101, 1.9)
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:500])
    else:
        ids = np.char.add(good.ids, "x") if damage == "other images" else good.ids
        labels = np.roll(good.labels, 1) if damage == "other labels" else good.labels
        rolled = np.roll(good.log_probs, 1, axis=1) if damage == "not what the result says" else good.log_probs
        RunDir(broken.directory).write_predictions({"test": Predictions(ids, labels, rolled)}, ("a", "b", "c"))
    found = study(table, "test/accuracy")
    (trouble, *_) = found.troubles
    assert trouble.startswith("b, seed 1: not compared")
    assert set(named(table, found)) == {"c"}
    fallback = found.interval(next(row.configuration_id for row in table.rows if row.label == "b"), "test/accuracy")
    assert fallback is not None
    assert fallback.over == "seeds"


def test_only_the_best_rows_are_read_and_the_rest_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "ROWS", 2)
    table = table_of(tmp_path, {"a": 2.0, "b": 1.9, "c": 1.0}, seeds=[0])
    found = study(table, "test/accuracy")
    assert len(found.versus) == 1
    assert any("last 1 rows" in note for note in found.notes)


def test_two_rows_are_compared_however_much_they_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "BYTES", 1)
    table = table_of(tmp_path, {"a": 2.0, "b": 1.9, "c": 1.0})
    assert len(study(table, "test/accuracy").versus) == 1


def test_nothing_ranked_leaves_an_empty_study() -> None:
    (table,) = build([done(make_run(), None)], HEADER).tables
    found = study(table, "test/accuracy")
    assert (found.best, found.versus, found.pairs) == (None, {}, 0)
