"""Why a run is new: what has changed since the result of one like it."""

from __future__ import annotations

import dataclasses

import pytest

from benchmark.changes import CANDIDATES, changes
from benchmark.run import DataSpec, Run

OLD = Run(DataSpec("folder", path="/photos"), "resnet18", data_digest="aa", image_size=32, channels=3, epochs=5)
SINCE = f"changed since {OLD.run_id[:6]}: "


def why(new: Run, *left: Run) -> str | None:
    return changes([new], [each.to_json() for each in left]).get(new.run_id)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epochs": 10}, "epochs 5 then, 10 now"),
        ({"epochs": 10, "optimizer": "sgd"}, "epochs 5 then, 10 now, optimizer adamw then, sgd now"),
        ({"clip_grad": 1.0}, "clip_grad null then, 1.0 now"),
        ({"model_args": {"depth": 6}}, "model_args.depth null then, 6 now"),
        ({"data_digest": "bb"}, "the images"),
        (
            {"data_digest": "bb", "data": dataclasses.replace(OLD.data, val_fraction=0.2)},
            "data.val_fraction 0.1 then, 0.2 now",
        ),
    ],
)
def test_the_keys_that_changed_are_named_with_both_values(changed: dict[str, object], said: str) -> None:
    assert why(dataclasses.replace(OLD, **changed), OLD) == SINCE + said  # type: ignore[arg-type]


def test_the_nearest_result_is_the_one_it_changed_from() -> None:
    other = dataclasses.replace(OLD, lr=0.1)
    assert why(dataclasses.replace(OLD, epochs=9), other, OLD) == f"{SINCE}epochs 5 then, 9 now"


@pytest.mark.parametrize(
    "changed",
    [{"model": "resnet34"}, {"seed": 1}, {"epochs": 9, "lr": 0.1, "batch_size": 8, "schedule": "step"}],
    ids=["another model", "another seed", "more than three keys"],
)
def test_another_run_is_no_changed_one(changed: dict[str, object]) -> None:
    assert why(dataclasses.replace(OLD, **changed), OLD) is None  # type: ignore[arg-type]


def test_a_result_of_another_training_version_and_of_fewer_keys_is_understood() -> None:
    document = {**OLD.to_json(), "training_version": 0}
    del document["clip_grad"]
    assert changes([OLD], [document]) == {OLD.run_id: f"{SINCE}training_version 0 then, 1 now"}


def test_only_the_latest_results_are_compared_so_that_thousands_cost_little() -> None:
    rates = [0.001 + index / 1e6 for index in range(2 * CANDIDATES)]
    old = [dataclasses.replace(OLD, lr=lr).to_json() for lr in rates]
    new = [dataclasses.replace(OLD, lr=lr, epochs=9) for lr in rates]
    words = list(changes(new, old).values())
    assert [each.endswith(": epochs 5 then, 9 now") for each in words] == [True] * CANDIDATES + [False] * CANDIDATES
