import dataclasses

from benchmark.labels import labels
from benchmark.run import DataSpec, Run

RUN = Run(DataSpec("digits"), "resnet18", data_digest="a")


def names(*runs: Run) -> list[str]:
    found = labels(runs)
    return [found[run.run_id] for run in runs]


def test_a_run_is_called_by_its_model_and_what_tells_its_configurations_apart() -> None:
    runs = [dataclasses.replace(RUN, lr=lr, seed=seed) for lr in (0.1, 1e-3) for seed in (0, 1)]
    other = dataclasses.replace(RUN, model="lenet5", epochs=9)
    assert names(*runs, other)[3:] == ["resnet18, lr 1e-3 · seed 1", "lenet5 · seed 0"]


def test_several_data_sets_are_named() -> None:
    other = dataclasses.replace(RUN, data=DataSpec("synthetic"), data_digest="b")
    assert names(RUN, other) == ["resnet18, data digits · seed 0", "resnet18, data synthetic · seed 0"]


def test_what_follows_from_a_pretrained_model_does_not_tell_configurations_apart() -> None:
    plain = dataclasses.replace(RUN, image_size=32, channels=3)
    tuned = dataclasses.replace(
        plain, weights_digest="e", pretrained=True, mean=[0.5] * 3, std=[0.5] * 3, interpolation="bicubic", crop_pct=0.9
    )
    assert names(plain, tuned) == ["resnet18, pretrained false · seed 0", "resnet18, pretrained true · seed 0"]
    other = dataclasses.replace(tuned, mean=[0.4] * 3)
    assert "mean" in names(tuned, other)[0]
