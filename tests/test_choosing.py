"""Which run a name stands for, and how an exported file is compared with its run; no model is made here."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmark.choosing import choose, label_of
from benchmark.data.prepared import Header
from benchmark.described import described
from benchmark.exporting import LibraryMissing, check_libraries
from benchmark.preparing import UsageProblem
from benchmark.training.agreement import compare, some, tolerance
from reports.leaderboard import Entry, build
from tests.report_support import HEADER, done, failed, make_run, pending


def entry(seed: int, validation: float | None, test: float, model: str = "lenet5", **keys: object) -> Entry:
    run = make_run(model, seed, **keys)
    return done(run, test, metrics={"val/accuracy": validation, "val/log_loss": 1 - test})


def test_of_a_configuration_the_seed_that_was_best_on_validation_is_meant_whatever_its_test_value() -> None:
    board = build([entry(0, 0.5, 0.9), entry(1, 0.7, 0.6), entry(2, 0.7, 0.9), entry(3, None, 1.0)], HEADER)
    assert {name: choose(board, name).run.seed for name in ("best", "lenet5")} == {"best": 1, "lenet5": 1}
    assert label_of(board, board.entries[0]) == "lenet5"


def test_the_metric_that_chose_the_epoch_chooses_the_seed_also_where_lower_is_better() -> None:
    board = build([entry(0, 0.9, 0.5, select="val/log_loss"), entry(1, 0.1, 0.8, select="val/log_loss")], HEADER)
    assert choose(board, "best").run.seed == 1


def test_a_label_a_model_and_the_beginning_of_an_id_name_a_run() -> None:
    board = build([entry(0, 0.5, 0.9, lr=0.1), entry(0, 0.5, 0.8, lr=0.01), entry(0, 0.5, 0.1, "resnet18")], HEADER)
    first, second, third = board.entries
    assert choose(board, "lenet5, lr 0.01") is second
    assert choose(board, "resnet18") is third
    assert choose(board, "best") is first
    assert choose(board, third.run.run_id[:4].upper()) is third


def test_a_name_that_fits_several_or_none_lists_what_there_is() -> None:
    board = build([entry(0, 0.5, 0.9, lr=0.1), entry(0, 0.5, 0.8, lr=0.01)], HEADER)
    with pytest.raises(UsageProblem, match=r"several configurations.*\n  \w{12}  lenet5, lr 0.1\n  \w{12}  lenet5, lr"):
        choose(board, "lenet5")
    for name in ("", "resnet18", board.entries[0].run.run_id[:3], "ffffffffffff", "((("):
        with pytest.raises(UsageProblem, match="is no finished run"):
            choose(board, name)


def test_a_run_without_a_result_is_named_as_what_it_is() -> None:
    board = build([failed(make_run("vgg11")), pending(make_run("resnet18"))], HEADER)
    for each, status in zip(board.entries, ("failed", "pending"), strict=True):
        with pytest.raises(UsageProblem, match=f"is {status}: it has no result"):
            choose(board, each.run.run_id)
    with pytest.raises(UsageProblem, match="no run has a result to rank yet"):
        choose(board, "best")
    with pytest.raises(UsageProblem, match="none yet"):
        choose(board, "vgg11")


def test_the_best_of_several_data_sets_is_none_and_the_best_of_each_is_listed() -> None:
    other = replace(make_run("resnet18"), data_digest="ab" * 32)
    board = build([entry(0, 0.5, 0.9), done(other, 0.8)], HEADER)
    with pytest.raises(
        UsageProblem, match=r"several data sets.*\n  \w{12}  fashion-mini: lenet5\n  \w{12}  fashion-mini: resnet18"
    ):
        choose(board, "best")


def test_many_configurations_are_listed_in_part() -> None:
    board = build([entry(0, 0.5, n / 100, lr=n / 100) for n in range(1, 31)], HEADER)
    with pytest.raises(UsageProblem, match=r"lr 0.11\n  …$"):
        choose(board, "nothing")


def test_a_library_that_is_missing_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    check_libraries("onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    check_libraries("torch")
    with pytest.raises(LibraryMissing, match=r"needs onnxruntime: `pip install 'torch-image-benchmark\[onnx\]'`"):
        check_libraries("onnx")


def test_what_is_left_to_choose_is_resolved_in_the_description() -> None:
    data = Header("d" * 64, ("a", "b"), {"train": 1, "val": 1, "test": 1}, (0.25,), (0.5,), {})
    plain = described(entry(0, 0.5, 0.9), "lenet5", "tour", "onnx", data)
    assert plain["preprocessing"] == {
        "channels": 1, "image_size": 28, "resize": "crop", "interpolation": "bilinear", "crop_pct": 1.0,
    }  # fmt: skip
    assert plain["normalisation"] == {"inside": True, "mean": [0.25], "std": [0.5]}
    own = entry(0, 0.5, 0.9, resize="auto", interpolation="bicubic", crop_pct=0.875, mean=[0.1], std=[0.2])
    told = described(own, "lenet5", "tour", "onnx", data)
    assert told["preprocessing"]["resize"] == "crop"
    assert told["preprocessing"]["crop_pct"] == 0.875
    assert told["normalisation"]["mean"] == [0.1]
    assert json.loads(json.dumps(told)) == told
    assert told["versions"]["torch"]


def test_answers_agree_to_the_tolerance_and_to_a_share_of_it_where_they_are_large() -> None:
    recorded = np.log(np.array([[0.5, 0.5], [0.9, 0.1]], dtype=np.float32))
    near = compare(recorded, np.exp(recorded), recorded + np.float32(5e-5), 1e-4)
    assert near.holds
    assert near.images == 2
    assert not compare(recorded, np.exp(recorded), recorded + 2e-4, 1e-4).holds
    assert not compare(recorded, np.exp(recorded) + 2e-4, recorded, 1e-4).holds, "both outputs are compared"
    far = np.array([[-1e-9, -20.0]], dtype=np.float32)
    assert compare(far, np.exp(far), far - [[0, 1e-3]], 1e-4).holds
    assert not compare(far, np.exp(far), far - [[0, 3e-3]], 1e-4).holds


def test_an_answer_that_is_no_number_never_agrees_and_another_shape_is_an_error() -> None:
    recorded = np.log(np.array([[0.5, 0.5]], dtype=np.float32))
    assert not compare(recorded, np.exp(recorded), recorded * np.nan, 1e-4).holds
    with pytest.raises(ValueError, match="shape"):
        compare(recorded, np.exp(recorded), recorded[:, :1], 1e-4)


def test_another_class_is_counted_and_can_only_be_first_where_two_are_within_the_tolerance() -> None:
    random = np.random.default_rng(0)
    recorded = np.log(random.dirichlet([1, 1, 1], 500)).astype(np.float32)
    recorded[:50, 1] = recorded[:50, 0] + 1e-5
    found = recorded + random.uniform(-1e-4, 1e-4, recorded.shape).astype(np.float32)
    agreement = compare(recorded, np.exp(recorded), found, 1.01e-4)
    assert agreement.holds
    assert 0 < agreement.other <= 50
    top = np.sort(recorded, axis=1)
    changed = recorded.argmax(1) != found.argmax(1)
    assert (top[changed, 2] - top[changed, 1]).max() <= 2e-4 * np.maximum(1, np.abs(top[changed, 1])).max()


def test_images_are_tried_from_the_whole_of_the_test_set() -> None:
    assert some(3).tolist() == [0, 1, 2]
    places = some(10_000)
    assert len(places) == 256
    assert (places[0], places[-1]) == (0, 9_999)
    assert np.diff(places).max() < 41
    assert (tolerance("cpu"), tolerance("cuda: some GPU")) == (1e-4, 1e-3)
