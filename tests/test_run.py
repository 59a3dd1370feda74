import dataclasses
import json
import subprocess
import sys

import pytest

from benchmark.run import DataSpec, Run

RUN = Run(DataSpec("synthetic"), "lenet5", data_digest="d" * 64, image_size=28, channels=1)


def changed(value: object) -> object:
    if isinstance(value, bool) or value is None:
        return 7
    if isinstance(value, int | float):
        return value + 1
    return {"depth": 3} if isinstance(value, dict) else f"{value}-other"


KEYS = [f.name for f in dataclasses.fields(Run) if f.name not in ("data", "seed", "recipe")]


@pytest.mark.parametrize("name", KEYS)
def test_every_key_changes_the_identity(name: str) -> None:
    other = dataclasses.replace(RUN, **{name: changed(getattr(RUN, name))})
    assert other.run_id != RUN.run_id
    assert other.configuration_id != RUN.configuration_id


def test_the_seed_changes_the_run_and_not_the_configuration() -> None:
    other = dataclasses.replace(RUN, seed=1)
    assert other.run_id != RUN.run_id
    assert other.configuration_id == RUN.configuration_id


def test_the_path_of_the_data_is_no_part_of_the_identity() -> None:
    moved = dataclasses.replace(RUN, data=DataSpec("folder", path="/elsewhere"))
    assert moved.run_id == RUN.run_id


def test_a_new_key_at_its_introductory_default_leaves_old_identities_valid() -> None:
    keys = {f.name for f in dataclasses.fields(Run)}

    @dataclasses.dataclass(frozen=True)
    class Later(Run):
        new_key: int = dataclasses.field(default=3, metadata={"introduced": 3})

    later = Later(**{name: getattr(RUN, name) for name in keys})
    assert later.run_id == RUN.run_id
    assert dataclasses.replace(later, new_key=4).run_id != RUN.run_id


def test_a_changed_default_changes_the_identity() -> None:
    @dataclasses.dataclass(frozen=True)
    class Later(Run):
        epochs: int = dataclasses.field(default=6, metadata={"introduced": 5})

    later = Later(DataSpec("synthetic"), "lenet5", data_digest="d" * 64, image_size=28, channels=1)
    assert later.run_id != RUN.run_id


def test_the_identity_is_the_same_in_another_process() -> None:
    program = (
        "from benchmark.run import *; "
        "print(Run(DataSpec('synthetic'), 'lenet5', data_digest='d' * 64, image_size=28, channels=1).run_id)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == RUN.run_id == "c9b4eefb6644"


def test_a_run_survives_json() -> None:
    run = dataclasses.replace(RUN, model_args={"patch_size": 4, "note": "κ"}, clip_grad=1.0)
    assert Run.from_json(json.loads(json.dumps(run.to_json()))) == run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training_version": 0}, "training version 0"),
        ({"lr": 0.5}, "it was edited"),
        ({"unknown": 1}, "unknown"),
        ({"data": {"source": "digits", "bogus": 1}}, "bogus"),
    ],
)
def test_an_edited_document_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Run.from_json({**RUN.to_json(), **change})


def test_hyperparameters_are_flat_and_leave_out_seed_and_data() -> None:
    run = dataclasses.replace(RUN, model_args={"depth": 3, "blocks": [1, 2]})
    found = run.hyperparameters
    assert found["model_args.depth"] == 3
    assert found["model_args.blocks"] == "[1, 2]"
    assert not {"seed", "data", "data_digest"} & set(found)


def test_data_is_called_by_its_name_or_folder() -> None:
    assert DataSpec("folder", path="/a/photos/").label == "photos"
    assert DataSpec("torchvision", name="CIFAR10").label == "CIFAR10"
    assert DataSpec("digits").label == "digits"
