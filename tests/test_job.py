"""The training program on small real data, in this process and in one of its own."""

import dataclasses
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from safetensors.torch import load_file

from benchmark.data import datasets
from benchmark.records import Event, Predictions, Result
from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from benchmark.training import whole
from benchmark.training.best import Best
from benchmark.training.data import Normalize, load
from benchmark.training.diverged import Diverged
from benchmark.training.failures import describe_failure
from benchmark.training.job import named_tasks, work
from benchmark.training.loop import Trained, train
from benchmark.training.metrics import scores
from benchmark.training.outset import make_model, set_up
from benchmark.training.places import Places
from launch.fast_local import ENTRY
from tests.job_support import SPEC, job, quality


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """``set_up`` switches them off for the whole process; other tests want them."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("кот #1 cache")


@pytest.fixture(scope="module")
def base(cache: Path) -> Run:
    facts = datasets.inspect(SPEC, cache)
    return Run(SPEC, "lenet5", data_digest=facts.digest, image_size=28, channels=1, epochs=2, lr=3e-3, device="cpu")


@pytest.fixture(scope="module")
def data(base: Run, cache: Path) -> Path:
    return datasets.prepare(SPEC, image_size=28, channels=1, resize="crop", cache=cache)


def test_a_job_leaves_everything_that_the_contract_names(base: Run, data: Path, tmp_path: Path) -> None:
    code, rundir, log = job(base, data, tmp_path / "кот #1")
    assert code == 0, log
    result = rundir.read_result()
    assert result is not None
    assert result.run_id == base.run_id
    assert result.metrics["model/parameters"] == 61_706 - 84 * 6 - 6
    assert result.metrics["test/accuracy"] is not None
    assert result.metrics["test/accuracy"] > 0.4
    assert result.undefined["test/top5_accuracy"]
    assert result.architecture.startswith("LeNet-5")
    events = rundir.read_events()
    assert [event.epoch for event in events] == [1, 2]
    predictions = rundir.read_predictions("test")
    assert predictions.log_probs.shape == (150, 4)
    assert scores(predictions.labels, predictions.log_probs).values["accuracy"] == result.metrics["test/accuracy"]
    assert np.array(rundir.read_evaluation()["test"].confusion).sum() == 150
    assert set(rundir.read_profile()) >= {"speed/latency_ms_p50", "speed/images_per_second"}
    assert load_file(rundir.model)
    assert "epoch 2" in log


def test_a_profile_alone_writes_the_speed_and_nothing_else(base: Run, data: Path, tmp_path: Path) -> None:
    code, rundir, log = job(base, data, tmp_path / "run", BENCHMARK_TASKS="profile")
    assert code == 0, log
    assert set(rundir.read_profile()) >= {"speed/latency_ms_p50", "speed/train_images_per_second"}
    assert {each.name for each in rundir.path.iterdir()} == {"run.json", "attempts", "profile.json"}


def test_a_profile_that_fails_is_a_failure(base: Run, data: Path, tmp_path: Path) -> None:
    broken = dataclasses.replace(base, model_args={"bogus": 1})
    code, rundir, _ = job(broken, data, tmp_path / "run", BENCHMARK_TASKS="profile")
    failure = rundir.read_failure()
    assert code == 1
    assert failure is not None
    assert failure.kind == "config"
    assert not rundir.read_profile()


def test_training_alone_leaves_no_profile_and_an_unknown_task_is_named(base: Run, data: Path, tmp_path: Path) -> None:
    run = dataclasses.replace(base, epochs=1)
    code, rundir, log = job(run, data, tmp_path / "run", BENCHMARK_TASKS="train")
    assert code == 0, log
    assert rundir.read_result() is not None
    assert not rundir.read_profile()
    with pytest.raises(ValueError, match="'test,train' is not a list of train and profile"):
        named_tasks({"BENCHMARK_TASKS": "test,train"})
    assert named_tasks({}) == ("train", "profile")


def test_a_job_that_finds_a_result_does_nothing(base: Run, data: Path, tmp_path: Path) -> None:
    places = Places(tmp_path, data, RunDir(tmp_path), tmp_path / "failure")
    places.rundir.write_result(Result(base.run_id, {}, {}, 1, 1, 0.0, 0.0, "", {}))
    work(base, places)
    assert [each.name for each in tmp_path.iterdir()] == ["result.json"]


def test_the_test_set_is_read_with_the_weights_of_the_best_epoch(base: Run, data: Path, tmp_path: Path) -> None:
    _, rundir, _ = job(dataclasses.replace(base, epochs=4, lr=2e-2), data, tmp_path / "run")
    result = rundir.read_result()
    assert result is not None
    by_epoch = {event.epoch: event.metrics["val/accuracy"] for event in rundir.read_events()}
    assert result.metrics["val/accuracy"] == by_epoch[result.best_epoch] == max(v or 0 for v in by_epoch.values())


def test_the_same_run_gives_the_same_bits(base: Run, data: Path, tmp_path: Path) -> None:
    run = dataclasses.replace(base, augment="crop+flip+erase", model="small/vgg11_bn", epochs=1)
    found = [job(run, data, tmp_path / name)[1] for name in ("a", "b")]
    first, second = (each.read_result() for each in found)
    assert first is not None
    assert second is not None
    assert quality(first.metrics) == quality(second.metrics)
    one, two = (each.read_predictions("test").log_probs for each in found)
    assert one.tobytes() == two.tobytes()
    assert found[0].model.read_bytes() == found[1].model.read_bytes()


def test_another_seed_gives_another_network(base: Run, data: Path) -> None:
    prepared = load(data)
    cpu = torch.device("cpu")
    weights = [
        next(make_model(dataclasses.replace(base, seed=seed), prepared, cpu).parameters()).clone() for seed in (0, 0, 1)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_diverging_run_says_at_which_step(base: Run, data: Path, tmp_path: Path) -> None:
    code, rundir, _ = job(dataclasses.replace(base, optimizer="momentum", lr=1e6), data, tmp_path / "run")
    failure = rundir.read_failure()
    assert code == 1
    assert failure is not None
    assert failure.kind == "diverged"
    assert failure.step is not None
    assert rundir.read_result() is None
    assert (rundir.attempt(1) / "failure").read_text().startswith("diverged: ")


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"optimizer": "adamm"}, "config", "adamm"),
        ({"data_digest": "0" * 64}, "data", "wants data 000000000000"),
        ({"model_args": {"bogus": 1}}, "config", "bogus"),
        ({"device": "cuda"}, "config", "device: auto"),
    ],
)
def test_each_failure_has_its_kind(
    base: Run, data: Path, tmp_path: Path, change: dict[str, object], kind: str, message: str
) -> None:
    if change.get("device") == "cuda" and torch.cuda.is_available():
        change, message = {"device": "mps"}, "device: auto"
    _, rundir, _ = job(dataclasses.replace(base, **change), data, tmp_path / "run")
    failure = rundir.read_failure()
    assert failure is not None
    assert failure.kind == kind
    assert message in failure.message
    assert failure.traceback


def test_the_kind_of_an_exception_is_known() -> None:
    assert describe_failure(MemoryError()).kind == "oom"
    assert describe_failure(RuntimeError("DefaultCPUAllocator: can't allocate memory: x")).kind == "oom"
    assert describe_failure(Diverged("loss nan", 5)).step == 5
    assert describe_failure(KeyError("x")).kind == "error"


def test_a_job_runs_where_only_its_requirements_are_installed(base: Run, data: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for name in required((ENTRY.parent / "requirements.txt").read_text()):
        link(name, site)
    assert not (site / "mlflow").exists()
    bare = [sys.executable, "-S"]
    code, rundir, log = job(dataclasses.replace(base, epochs=1), data, tmp_path / "run", bare, PYTHONPATH=str(site))
    assert code == 0, log
    assert rundir.read_result() is not None


def required(text: str) -> set[str]:
    """The distributions that requirements name, and all that those need on this machine."""
    waiting = [line for line in text.splitlines() if line and not line.startswith("#")]
    found: set[str] = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(requirement.name)
        waiting += importlib.metadata.requires(requirement.name) or []
    return found


def link(name: str, site: Path) -> None:
    """Makes one installed distribution importable from ``site``."""
    for file in importlib.metadata.files(name) or []:
        top = file.parts[0]
        target = Path(str(importlib.metadata.distribution(name).locate_file(top)))
        if top not in ("..", "__pycache__") and not (site / top).exists():
            (site / top).symlink_to(target)


def test_early_stopping_stops_and_keeps_the_best(base: Run, data: Path) -> None:
    run = dataclasses.replace(base, epochs=12, early_stopping=2, lr=1e-12)
    set_up(run)
    prepared, events = load(data), []
    model = make_model(run, prepared, torch.device("cpu"))
    trained = train(run, prepared, model, Normalize(prepared.mean, prepared.std), events.append)
    assert trained.epochs == len(events) < 12
    assert trained.epochs - trained.best_epoch == 2


def event(epoch: int, accuracy: float, log_loss: float) -> Event:
    return Event(epoch, epoch, 0.0, {"val/accuracy": accuracy, "val/log_loss": log_loss})


def test_of_equal_epochs_the_better_log_loss_then_the_earlier_is_kept() -> None:
    model, best = torch.nn.Linear(1, 1), Best("val/accuracy")
    for epoch, (accuracy, loss) in enumerate([(0.5, 1.0), (0.5, 0.9), (0.5, 0.9), (0.4, 0.1)], 1):
        best.consider(event(epoch, accuracy, loss), model)
    assert best.epoch == 2


def test_selection_by_log_loss_prefers_less() -> None:
    model, best = torch.nn.Linear(1, 1), Best("val/log_loss")
    for epoch, loss in enumerate([1.0, 0.5, 0.7], 1):
        best.consider(event(epoch, 0.5, loss), model)
    assert best.epoch == 2


def test_golden_numbers_of_the_training_version(base: Run, data: Path, tmp_path: Path) -> None:
    """Changed results with an unchanged TRAINING_VERSION fail here; the tolerance allows other processors' rounding."""
    _, rundir, _ = job(base, data, tmp_path / "run")
    result = rundir.read_result()
    assert result is not None
    golden = json.loads((Path(__file__).parent / "golden" / "training.json").read_text())
    version = rundir.read_run().to_json()["training_version"]
    assert version == golden["training_version"], "raise it there too, with the new numbers"
    for name, value in golden["metrics"].items():
        assert result.metrics[name] == pytest.approx(value, abs=golden["tolerance"]), (name, result.metrics[name])


def test_a_last_training_batch_of_one_image_is_left_out(base: Run, data: Path) -> None:
    prepared = load(data)
    run = dataclasses.replace(base, batch_size=len(prepared.train) - 1, epochs=1, model="small/vgg11_bn")
    set_up(run)
    model = make_model(run, prepared, torch.device("cpu"))
    events = []
    train(run, prepared, model, Normalize(prepared.mean, prepared.std), events.append)
    assert events[0].step == 1


def test_predictions_keep_the_ids_of_the_images(base: Run, data: Path, tmp_path: Path) -> None:
    _, rundir, _ = job(dataclasses.replace(base, epochs=1), data, tmp_path / "run")
    prepared = load(data)
    found: Predictions = rundir.read_predictions("val")
    assert list(found.ids) == list(prepared.val.ids)


@pytest.mark.parametrize(
    ("keys", "epochs", "words"),
    [
        ({}, 3, []),
        ({}, 2, ["stopped early after epoch 2 of 3"]),
        ({"freeze": "backbone"}, 3, ["its backbone is random and was never trained: freeze without pretrained"]),
        ({"freeze": "backbone", "unfreeze_epoch": 1}, 3, []),
        (
            {"freeze": "backbone", "unfreeze_epoch": 2},
            2,
            [
                "stopped early after epoch 2 of 3",
                "its backbone is random and was never trained: freeze without pretrained",
            ],
        ),
        ({"freeze": "backbone", "pretrained": True}, 3, []),
    ],
)
def test_a_result_says_what_its_numbers_owe_to_the_recipe(keys: dict[str, Any], epochs: int, words: list[str]) -> None:
    run = Run(DataSpec(), "lenet5", data_digest="0" * 64, epochs=3, **keys)
    assert list(whole._notes(run, Trained(best_epoch=1, epochs=epochs, seconds=1.0, images=1))) == words
