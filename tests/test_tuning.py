"""Fine-tuning and probing: what is frozen keeps its bits, each layer its rate, and kept features change no result."""

from __future__ import annotations

import dataclasses
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from timm.optim._param_groups import param_groups_layer_decay
from torch import Tensor, nn

from benchmark.catalogue import ModelFacts
from benchmark.data.datacache import VARIABLE
from benchmark.data.imageset import DataFacts
from benchmark.effort import Effort
from benchmark.records import Event
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.training import features
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.checkpoints import Checkpoints, NoCheckpoints
from benchmark.training.data import load
from benchmark.training.groups import layer_scales, parameter_groups
from benchmark.training.heads import in_head
from benchmark.training.learner import Learner
from benchmark.training.loop import train
from benchmark.training.memory import Parts
from benchmark.training.models import build
from benchmark.training.optim import make_optimizer, make_schedule
from benchmark.training.outset import make_model, make_normalize, pretrain, set_up
from benchmark.training.pace import Pace
from benchmark.training.profiling import ResourceMeter
from benchmark.training.stopping import Bell
from benchmark.training.team import Alone
from benchmark.training.whole import EpochWriter, train_and_test
from tests.job_support import begin, job, quality
from tests.tuning_support import GREY, MODEL, SPEC, Bench

CPU = torch.device("cpu")
FOREVER = {"freeze": "backbone", "augment": "flip"}
"""A frozen backbone whose features cannot be kept."""


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """``set_up`` switches them off for the whole process; other tests want them."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench.make(tmp_path_factory.mktemp("кот #1 cache"))


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: each.detach().clone() for name, each in model.state_dict().items()}


def learner(bench: Bench, run: Run) -> Learner:
    set_up(run)
    data = load(bench.data(run.data))
    model = make_model(run, data, CPU)
    pretrain(run, model, bench.weights(run))
    return Learner.of(run, data, model, make_normalize(run, data, CPU))


def changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lion", "muon", "adan"])
def test_a_frozen_backbone_keeps_every_bit_and_learns_when_it_is_unfrozen(bench: Bench, optimizer: str) -> None:
    run = bench.run(freeze="backbone", unfreeze_epoch=2, augment="flip", optimizer=optimizer, weight_decay=0.1)
    found = learner(bench, run)
    head = set(in_head(found.model))
    before = state(found.model)
    found.epoch(1)
    found.epoch(2)
    middle = state(found.model)
    assert changed(before, middle) == head, "buffers of batch normalisation included"
    found.epoch(3)
    learnt = changed(middle, state(found.model))
    assert {name for name, each in middle.items() if each.ndim == 4 or "running" in name} <= learnt


def test_a_backbone_that_is_never_unfrozen_costs_no_state(bench: Bench) -> None:
    found = learner(bench, bench.run(**FOREVER))
    before = state(found.model)
    for number in (1, 2):
        found.epoch(number)
    assert changed(before, state(found.model)) == set(in_head(found.model))
    held = [each for group in found.optimizer.param_groups for each in group["params"]]
    assert len(held) == len(in_head(found.model))


def test_a_frozen_backbone_is_in_evaluation_mode_also_after_validation(bench: Bench) -> None:
    found = learner(bench, bench.run(**FOREVER))
    found.epoch(1)
    found.validate(load(bench.data()).val, 1)
    norms = [each for each in found.model.modules() if isinstance(each, nn.BatchNorm2d)]
    assert norms
    assert not any(each.training for each in norms)


@pytest.mark.parametrize("model", ["test_vit", "test_resnet", "test_convnext", "resnet18"])
def test_layers_have_the_rates_that_timm_gives_them(bench: Bench, model: str) -> None:
    run = Run(SPEC, model, layer_decay=0.5, lr=0.1, weight_decay=0.05)
    network = build(model, {}, 32, 3, 5)
    known = getattr(network, "no_weight_decay", set)()
    theirs = param_groups_layer_decay(network, 0.05, known, layer_decay=0.5)
    wanted = {id(each): (group["lr_scale"], group["weight_decay"]) for group in theirs for each in group["params"]}
    groups = parameter_groups(run, network)
    assert groups is not None
    ours = {id(each): (group["lr_scale"], group["weight_decay"]) for group in groups for each in group["params"]}
    assert ours == wanted
    assert len({scale for scale, _ in ours.values()}) > 3


def test_a_network_without_layers_of_timm_s_is_cut_from_the_top(bench: Bench) -> None:
    network = build("torchvision/resnet18", {}, 32, 3, 5)
    scales = layer_scales(network, 0.5)
    head = in_head(network)
    values = [scales[name] for name, _ in network.named_parameters() if name not in head]
    assert {scales[name] for name in head} == {1.0}
    assert values == sorted(values)
    assert max(values) == 0.5


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "onecycle"])
def test_every_schedule_scales_the_rate_of_each_layer_and_of_the_head(schedule: str) -> None:
    keys = {"schedule": schedule, "epochs": 3, "lr": 0.1, "min_lr": 0.01, "decay_epochs": 1.0}
    keys |= {"warmup_epochs": 0.5} if schedule != "onecycle" else {}
    network = build("test_resnet", {}, 32, 3, 5)
    plain = curve(Run(SPEC, "test_resnet", **keys), network)
    scaled = Run(SPEC, "test_resnet", **keys, layer_decay=0.5, head_lr=0.3)
    groups = parameter_groups(scaled, network)
    assert groups is not None
    scales = [group["lr_scale"] for group in groups]
    assert max(scales) == pytest.approx(3.0)
    for rates, reference in zip(curve(scaled, network), plain, strict=True):
        assert rates == pytest.approx([scale * reference[0] for scale in scales])


def curve(run: Run, network: nn.Module) -> list[list[float]]:
    optimizer = make_optimizer(run, network)
    schedule = make_schedule(run, optimizer, steps_per_epoch=10)
    found = []
    for _ in range(30):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.advance()
    return found


def test_without_keys_of_tuning_the_groups_are_timm_s_own() -> None:
    assert parameter_groups(Run(SPEC, "test_resnet"), build("test_resnet", {}, 32, 3, 5)) is None


def test_the_rate_of_an_epoch_is_the_run_s_whatever_its_layers(bench: Bench) -> None:
    run = bench.run(schedule="constant", layer_decay=0.5, head_lr=0.02)
    assert learner(bench, run).epoch(1)["train/lr"] == pytest.approx(run.lr)


def test_a_probe_is_expected_to_see_each_image_once() -> None:
    model = ModelFacts(
        parameters=1_000_000, macs=10**8, architecture="", minimum_size=1, activations=10**5, widest=10**4
    )
    data = DataFacts("d", ("a", "b"), 32, 3, {"train": 800, "val": 100, "test": 100})
    plain = Run(SPEC, MODEL, image_size=32, channels=3, epochs=50)
    whole, probing = (Effort.of(each, model, data) for each in (plain, dataclasses.replace(plain, freeze="backbone")))
    assert probing.macs == 10**8 * 1000
    assert (probing.steps, probing.evaluated) == (0, 1000)
    assert probing.seconds < whole.seconds / 50
    augmented = dataclasses.replace(plain, freeze="backbone", augment="flip")
    assert not augmented.probes
    assert Effort.of(augmented, model, data) == whole


class Died(Exception):
    """Stands for the end of the process."""


@dataclasses.dataclass
class Attempt(NoCheckpoints):
    """One attempt at a fine-tuning in this process, which dies before or after the checkpoint of an epoch."""

    bench: Bench
    run: Run
    rundir: RunDir
    until: tuple[str, int] = ("never", 0)
    log: list[str] = dataclasses.field(default_factory=list)

    def train(self) -> tuple[object, ...]:
        set_up(self.run)
        data = load(self.bench.data(self.run.data))
        model = make_model(self.run, data, CPU)
        pretrain(self.run, model, self.bench.weights(self.run))
        with ResourceMeter() as meter:
            self.checkpoints = Checkpoints.of(self.rundir, self.run.run_id, CPU, meter, self.log.append)
            train(self.run, data, model, make_normalize(self.run, data, CPU), self.on_epoch, self)
        weights = {name: each.numpy().tobytes() for name, each in state(model).items()}
        return weights, [quality(event.metrics) for event in self.rundir.read_events()]

    def on_epoch(self, event: Event) -> None:
        EpochWriter(self.rundir)(event)
        self.die_at("before", event.epoch)

    def newest(self) -> Checkpoint | None:
        return self.checkpoints.newest()

    def due(self, last: bool) -> bool:
        return True

    def save(self, now: Checkpoint) -> None:
        self.checkpoints.save(now)
        self.die_at("after", now.epoch)

    def die_at(self, when: str, epoch: int) -> None:
        if self.until == (when, epoch):
            raise Died


@pytest.mark.parametrize(
    "keys",
    [
        {"freeze": "backbone", "unfreeze_epoch": 2, "layer_decay": 0.7, "head_lr": 1e-2, "schedule": "onecycle"},
        {"freeze": "backbone", "unfreeze_epoch": 2, "optimizer": "sgd", "augment": "crop+flip", "warmup_epochs": 1.5},
        {"layer_decay": 0.6, "clip_grad": 1.0},
        FOREVER,
    ],
    ids=lambda keys: ", ".join(keys),
)
def test_a_fine_tuning_that_dies_again_and_again_ends_with_the_same_bits(
    bench: Bench, tmp_path: Path, keys: dict[str, Any]
) -> None:
    run, rundir = bench.run(epochs=4, **keys), RunDir(tmp_path / "run")
    for until in (("after", 1), ("before", 2), ("after", 2), ("before", 3), ("after", 3)):
        with pytest.raises(Died):
            Attempt(bench, run, rundir, until).train()
    final = Attempt(bench, run, rundir)
    assert final.train() == Attempt(bench, run, RunDir(tmp_path / "undisturbed")).train()
    assert "going on after epoch 3" in final.log


class Counting:
    """How many images have gone through a network's backbone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.images = 0
        original = make_model

        def counted(run: Run, data: Any, device: torch.device) -> nn.Module:
            model = original(run, data, device)
            next(iter(model.children())).register_forward_pre_hook(self.count)
            return model

        monkeypatch.setattr("benchmark.training.whole.make_model", counted)

    def count(self, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        self.images += len(given[0]) if given[0].device.type == "cpu" else 0


def probed(bench: Bench, run: Run, place: Path) -> tuple[object, ...]:
    """What a probe leaves, in this process."""
    set_up(run)
    rundir = RunDir(place)
    data = load(bench.data(run.data))
    train_and_test(Parts(run, rundir), data, CPU, Alone(), Pace(Bell()), bench.weights(run))
    result = rundir.read_result()
    assert result is not None
    predictions = [rundir.read_predictions(name).log_probs.tobytes() for name in ("val", "test")]
    return quality(result.metrics), predictions, rundir.model.read_bytes()


def test_a_second_probe_of_a_model_runs_no_image_through_its_backbone(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(features.VARIABLE, str(tmp_path / "features"))
    counting = Counting(monkeypatch)
    probed(bench, bench.run(freeze="backbone"), tmp_path / "first")
    assert counting.images == 160 + 60 + 1, "every image once, and one to see where the classifier begins"
    for number, keys in enumerate([{"lr": 1e-2}, {"seed": 7}, {"optimizer": "sgd", "head_lr": 0.1}]):
        counting.images = 0
        probed(bench, bench.run(freeze="backbone", **keys), tmp_path / str(number))
        assert counting.images == 1
    assert len(list((tmp_path / "features").glob("*.features"))) == 1


@pytest.mark.parametrize("spec", [SPEC, GREY], ids=["rgb", "grey"])
def test_a_probe_gives_the_same_bits_with_a_cold_a_warm_a_broken_and_no_cache(
    bench: Bench, spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.run(spec, freeze="backbone")
    found = [probed(bench, run, tmp_path / "none")]
    place = tmp_path / "features"
    monkeypatch.setenv(features.VARIABLE, str(place))
    found += [probed(bench, run, tmp_path / name) for name in ("cold", "warm")]
    (kept,) = place.glob("*.features")
    whole = kept.read_bytes()
    for number, broken in enumerate([whole[:-9], b"", whole[:40] + b"\x01" + whole[41:]]):
        kept.write_bytes(broken)
        found.append(probed(bench, run, tmp_path / f"broken {number}"))
        assert kept.read_bytes() == whole, "it is made again"
    assert all(each == found[0] for each in found[1:])


def test_the_model_of_a_probe_is_the_whole_network(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(freeze="backbone")
    probed(bench, run, tmp_path / "run")
    found = load_file(tmp_path / "run" / "model.safetensors")
    given = load_file(bench.weights(run) / "weights.safetensors")
    assert set(found) == set(given)
    assert changed(given, found) == in_head(build(run.model, {}, 32, 3, 3)) == {"fc.weight", "fc.bias"}
    assert found["fc.weight"].shape[0] == 3
    data = load(bench.data())
    model = make_model(run, data, CPU)
    model.load_state_dict(found)
    with torch.inference_mode():
        logits = model.eval()(make_normalize(run, data, CPU)(data.test.images))
    known = RunDir(tmp_path / "run").read_predictions("test").log_probs
    assert torch.allclose(logits.log_softmax(1), torch.from_numpy(known), atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [{"mean": [0.4] * 3}, {"eval_batch_size": 100}, {"threads": 2}, {"crop_pct": 0.9}, {"weights_digest": "0" * 64}],
    ids=str,
)
def test_other_numbers_are_kept_apart(bench: Bench, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(features.VARIABLE, "/features")
    run, data = bench.run(freeze="backbone"), load(bench.data())
    assert features._place(run, data, CPU) != features._place(dataclasses.replace(run, **change), data, CPU)
    assert features._place(run, data, CPU) == features._place(dataclasses.replace(run, lr=0.5, seed=3), data, CPU)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    run = bench.run(freeze="backbone")
    expected = probed(bench, run, tmp_path / "none")
    monkeypatch.setenv(features.VARIABLE, str(tmp_path / "file" / "features"))
    assert probed(bench, run, tmp_path / "again") == expected


@pytest.mark.parametrize("model", ["torchvision/squeezenet1_1", "small/vgg11_bn"])
def test_a_network_whose_classifier_is_no_last_dense_layer_is_trained_whole(bench: Bench, model: str) -> None:
    """SqueezeNet pools behind its classifier, a convolution; a network that ends in a dense layer is probed."""
    run = Run(SPEC, model, data_digest="d", image_size=32, channels=3, freeze="backbone", device="cpu")
    data = load(bench.data())
    found = features.probe(run, make_model(run, data, CPU), data, make_normalize(run, data, CPU), print)
    assert (found is None) == (model != "small/vgg11_bn")


def test_jobs_that_want_the_same_features_at_once_compute_them_once(bench: Bench, tmp_path: Path) -> None:
    place = tmp_path / "features"

    def one(number: int) -> tuple[int, str, RunDir]:
        run = bench.run(freeze="backbone", seed=number)
        code, rundir, log = job(run, bench.data(), tmp_path / str(number), **variables(bench, run, place))
        return code, log, rundir

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(one, range(3)))
    assert [code for code, _, _ in found] == [0, 0, 0], found
    logs = [log for _, log, _ in found]
    assert sum("computed" in log for log in logs) == 1
    assert sum("from the cache" in log for log in logs) == 2
    assert all(each.read_result() for _, _, each in found)


def variables(bench: Bench, run: Run, place: Path) -> dict[str, str]:
    return {"SM_CHANNEL_WEIGHTS": str(bench.weights(run)), features.VARIABLE: str(place), "BENCHMARK_TASKS": "train"}


def test_a_fine_tuning_that_is_killed_goes_on_with_the_same_bits(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(freeze="backbone", unfreeze_epoch=2, epochs=6, augment="flip", layer_decay=0.8)
    given = variables(bench, run, tmp_path / "features")
    process, rundir = begin(run, bench.data(), tmp_path / "killed", **given)
    with process:
        while len(rundir.read_events()) < 3 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert rundir.read_result() is None
    code, rundir, log = job(run, bench.data(), tmp_path / "killed", **given)
    assert code == 0, log
    assert "going on after epoch" in log
    code, other, log = job(run, bench.data(), tmp_path / "undisturbed", **given)
    assert code == 0, log
    assert rundir.model.read_bytes() == other.model.read_bytes()
    ours, theirs = rundir.read_result(), other.read_result()
    assert ours is not None
    assert theirs is not None
    assert quality(ours.metrics) == quality(theirs.metrics)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SM_CHANNEL_WEIGHTS": None}, "no channel 'weights'"),
        ({"SM_CHANNEL_WEIGHTS": "/nowhere"}, "/nowhere/weights.safetensors is not there"),
    ],
)
def test_a_job_without_its_weights_says_so(
    bench: Bench, tmp_path: Path, change: dict[str, str | None], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(bench.cache))
    run = bench.run()
    given = {name: value for name, value in change.items() if value}
    _, rundir, _ = job(run, bench.data(), tmp_path / "run", **given) if given else bare(run, bench, tmp_path / "run")
    failure = rundir.read_failure()
    assert failure is not None
    assert failure.kind == "config"
    assert message in failure.message


def bare(run: Run, bench: Bench, place: Path) -> tuple[int, RunDir, str]:
    """A job whose launcher forgot the channel."""
    return job(run, bench.data(), place, ("/usr/bin/env", "-u", "SM_CHANNEL_WEIGHTS", sys.executable))


@pytest.mark.slow
@pytest.mark.nightly
def test_a_team_unfreezes_together(bench: Bench, tmp_path: Path) -> None:
    """Of a network without batch normalisation, so that the shares of a batch do not matter."""
    keys = {"model": "test_convnext", "freeze": "backbone", "augment": "flip", "head_lr": 0.01, "optimizer": "sgd"}
    runs = {
        "alone": bench.run(**keys, unfreeze_epoch=1),
        "together": bench.run(**keys, unfreeze_epoch=1, processes=2),
        "frozen": bench.run(**keys, processes=2),
    }
    losses = {}
    for name, run in runs.items():
        code, rundir, log = job(run, bench.data(), tmp_path / name, **variables(bench, run, tmp_path / "f"))
        assert code == 0, log
        losses[name] = [event.metrics["train/loss"] for event in rundir.read_events()]
    assert losses["together"] == pytest.approx(losses["alone"], rel=1e-3)
    assert losses["frozen"][:1] == losses["together"][:1]
    assert losses["frozen"][2] != pytest.approx(losses["together"][2], rel=1e-2)


@pytest.mark.slow
@pytest.mark.nightly
def test_a_team_probes_the_features_that_one_process_keeps(bench: Bench, tmp_path: Path) -> None:
    found = []
    for processes in (1, 2):
        run = bench.run(freeze="backbone", processes=processes)
        code, rundir, log = job(run, bench.data(), tmp_path / str(processes), **variables(bench, run, tmp_path / "f"))
        assert code == 0, log
        result = rundir.read_result()
        assert result is not None
        found.append(quality(result.metrics))
    assert found[0] == pytest.approx(found[1], abs=1e-4)
    assert len(list((tmp_path / "f").glob("*.features"))) == 1
