"""What a practitioner asks of training, each against its definition or a plain loop over torch."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark.data import datasets
from benchmark.run import DataSpec, Run
from benchmark.training.compiling import LEAST_STEPS, wanted
from benchmark.training.data import Normalize, PreparedData, batches, epoch_order, load
from benchmark.training.evaluate import predict
from benchmark.training.failures import DeviceMissing
from benchmark.training.learner import Learner
from benchmark.training.models import ModelError
from benchmark.training.outset import make_model, set_up
from benchmark.training.sampling import order_of
from tests.job_support import SPEC
from tests.test_checkpoint import denormals  # noqa: F401  # a fixture

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def base(cache: Path) -> Run:
    digest = datasets.inspect(SPEC, cache).digest
    return Run(SPEC, "lenet5", data_digest=digest, image_size=28, channels=1, epochs=4, lr=3e-3, device="cpu")


@pytest.fixture(scope="module")
def data(base: Run, cache: Path) -> PreparedData:
    return load(datasets.prepare(SPEC, image_size=28, channels=1, resize="crop", cache=cache))


def learner_of(run: Run, data: PreparedData) -> Learner:
    set_up(run)
    return Learner.of(run, data, make_model(run, data, CPU), Normalize(data.mean, data.std))


def steps(learner: Learner, count: int, epoch: int = 1) -> Learner:
    """So many steps, over as many epochs as that takes."""
    while count:
        for _ in learner.go_on(learner.begin(epoch)):
            count -= 1
            if not count:
                return learner
        epoch += 1
    return learner


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: each.clone() for name, each in model.state_dict().items()}


PARITY = {
    "LeNet, SGD": {"model": "lenet5", "optimizer": "momentum", "lr": 0.05, "schedule": "constant", "weight_decay": 0},
    "ResNet, SGD with decay": {"model": "resnet18", "optimizer": "momentum", "lr": 0.02, "schedule": "constant"},
    "ViT, AdamW": {
        "model": "small/vit",
        "model_args": {"patch_size": 7, "embed_dim": 48, "depth": 2},
        "lr": 1e-3,
        "schedule": "constant",
    },
}


def plain_loop(run: Run, data: PreparedData, count: int) -> nn.Module:
    """A training loop as in a tutorial, which shares nothing with ours but the network, its first weights, and the
    order of the images."""
    torch.manual_seed(run.seed)
    torch.set_num_threads(1)
    model = make_model(run, data, CPU)
    spared = getattr(model, "no_weight_decay", set)()  # timm's transformers name their embeddings
    named = list(model.named_parameters())
    decayed = [each for name, each in named if each.ndim > 1 and name not in spared]
    others = [each for name, each in named if each.ndim <= 1 or name in spared]
    groups = [{"params": others, "weight_decay": 0.0}, {"params": decayed, "weight_decay": run.weight_decay}]
    if run.optimizer == "momentum":
        optimizer = torch.optim.SGD(groups, lr=run.lr, momentum=run.momentum)
    else:
        optimizer = torch.optim.AdamW(groups, lr=run.lr)
    mean, std = data.mean.view(1, -1, 1, 1), data.std.view(1, -1, 1, 1)
    model.train()
    done = epoch = 0
    while done < count:
        epoch += 1
        order = epoch_order(len(data.train), run.seed, epoch)
        for start in range(0, len(order), run.batch_size):
            picked = order[start : start + run.batch_size]
            images = data.train.images[picked].permute(0, 3, 1, 2).float() / 255
            images = ((images - mean) / std).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(model(images), data.train.labels[picked])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            if done == count:
                break
    return model


@pytest.mark.parametrize("family", PARITY)
def test_twenty_steps_give_the_weights_of_a_plain_loop_bit_for_bit(
    family: str, base: Run, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = dataclasses.replace(base, **PARITY[family])
    # (x / 255 - mean) / std rounds otherwise than one multiplication and one addition; the plain loop's is taken.
    monkeypatch.setattr(Normalize, "__call__", plainly(data))
    ours = steps(learner_of(run, data), 20).model
    theirs = plain_loop(run, data, 20)
    for name, each in theirs.state_dict().items():
        assert torch.equal(each, ours.state_dict()[name]), name


def plainly(data: PreparedData):
    mean, std = data.mean.view(1, -1, 1, 1), data.std.view(1, -1, 1, 1)

    def normalize(self: Normalize, images: torch.Tensor) -> torch.Tensor:
        scaled = images.permute(0, 3, 1, 2).float() / 255
        return ((scaled - mean) / std).contiguous(memory_format=torch.channels_last)

    return normalize


def test_normalisation_is_the_usual_formula_to_its_last_bits(data: PreparedData) -> None:
    ours = Normalize(data.mean, data.std)(data.train.images[:50])
    usual = plainly(data)(Normalize(data.mean, data.std), data.train.images[:50])
    assert torch.allclose(ours, usual, rtol=0, atol=1e-6)


def test_parts_of_a_batch_give_the_step_of_the_whole_batch(base: Run, data: PreparedData) -> None:
    run = dataclasses.replace(base, augment="crop+flip", policy="trivial", class_weights="balanced")
    whole = steps(learner_of(run, data), 8).model.state_dict()
    parts = steps(learner_of(dataclasses.replace(run, accumulate=3), data), 8).model.state_dict()
    for name, each in whole.items():
        assert torch.allclose(each, parts[name], atol=2e-5), name


def test_parts_count_each_image_once(base: Run, data: PreparedData) -> None:
    learner = learner_of(dataclasses.replace(base, accumulate=7), data)
    progress = learner.begin(1)
    for _ in learner.go_on(progress):
        pass
    assert progress.seen == len(data.train)


def test_the_average_is_that_of_its_definition(base: Run, data: PreparedData) -> None:
    learner = learner_of(dataclasses.replace(base, ema_decay=0.6), data)
    expected = weights(learner.model)
    progress = learner.begin(1)
    for step, _ in enumerate(learner.go_on(progress), start=1):
        decay = 0.0 if step == 1 else min(0.6, 1 - (1 + step - 1) ** (-2 / 3))
        for name, now in weights(learner.model).items():
            expected[name] = decay * expected[name] + (1 - decay) * now
    for name, each in weights(learner.evaluated).items():
        assert torch.allclose(each, expected[name], atol=1e-6), name
        assert not torch.equal(each, learner.model.state_dict()[name])


def test_balanced_draws_show_every_class_equally_often() -> None:
    labels = torch.tensor([0] * 9000 + [1] * 900 + [2] * 100)
    run = dataclasses.replace(Run(DataSpec("synthetic"), "lenet5"), sampling="balanced")
    first = order_of(run, labels, 1)
    shares = torch.bincount(labels[first]) / len(labels)
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.03)
    assert torch.equal(first, order_of(run, labels, 1))
    assert not torch.equal(first, order_of(run, labels, 2))


def test_mirror_images_are_averaged_in_probability(base: Run, data: PreparedData) -> None:
    set_up(base)
    model, normalize = make_model(base, data, CPU), Normalize(data.mean, data.std)
    both = predict(model, batches(data.test, 64, normalize), flip=True)
    one = np.exp(predict(model, batches(data.test, 64, normalize)).astype(float))
    other = np.exp(predict(model, [(images.flip(3), labels) for images, labels in batches(data.test, 64, normalize)]))
    np.testing.assert_allclose(np.exp(both), (one + other) / 2, rtol=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16", "tf32"])
def test_lower_precision_learns_as_much_and_keeps_float32_weights(
    precision: str, base: Run, data: PreparedData
) -> None:
    usual = steps(learner_of(base, data), 18)
    lower = steps(learner_of(dataclasses.replace(base, precision=precision), data), 18)
    assert all(each.dtype == torch.float32 for each in lower.model.parameters())
    losses = [float(each.validate(data.val, 3)["val/log_loss"] or 0) for each in (usual, lower)]
    assert losses[1] == pytest.approx(losses[0], rel=0.2)
    same = all(torch.equal(a, b) for a, b in zip(usual.model.parameters(), lower.model.parameters(), strict=True))
    assert same == (precision == "tf32"), "TF32 is of GPUs"


def test_a_scaler_keeps_gradients_that_half_precision_loses(base: Run, data: PreparedData) -> None:
    learner = learner_of(dataclasses.replace(base, precision="fp16"), data)
    assert learner.precision.scaler.get_scale() == 2**16
    before = copy.deepcopy(learner.precision.scaler.state_dict())
    steps(learner, 3)
    assert learner.precision.scaler.state_dict()["_growth_tracker"] == before["_growth_tracker"] + 3


@pytest.mark.parametrize(
    ("model", "dropout", "drop_path"),
    [("resnet18", 0.3, 0.2), ("torchvision/efficientnet_b0", 0.5, 0.1), ("small/vit", 0.1, 0.3)],
)
def test_dropout_and_stochastic_depth_reach_the_network(
    model: str, dropout: float, drop_path: float, base: Run, data: PreparedData
) -> None:
    run = dataclasses.replace(base, model=model, dropout=dropout, drop_path=drop_path)
    if model == "small/vit":
        run = dataclasses.replace(run, model_args={"patch_size": 7})
    network = make_model(run, data, CPU)
    rates = {each.p for each in network.modules() if isinstance(each, nn.Dropout)}
    assert dropout in rates or getattr(network, "drop_rate", None) == dropout
    depths = [getattr(each, "drop_prob", getattr(each, "p", 0.0)) for each in network.modules() if _is_path(each)]
    assert max(depths) == pytest.approx(drop_path, rel=0.15)


def _is_path(module: nn.Module) -> bool:
    return type(module).__name__ in ("DropPath", "StochasticDepth")


def test_a_model_without_stochastic_depth_says_so(base: Run, data: PreparedData) -> None:
    with pytest.raises(ModelError, match="drop_path: lenet5 has none"):
        make_model(dataclasses.replace(base, drop_path=0.1), data, CPU)
    with pytest.raises(ModelError, match="dropout: model_args has 'drop_rate' too"):
        make_model(dataclasses.replace(base, model="resnet18", dropout=0.1, model_args={"drop_rate": 0.2}), data, CPU)


def test_batch_norm_over_processes_is_refused_on_cpus(base: Run, data: PreparedData) -> None:
    with pytest.raises(DeviceMissing, match="sync_batchnorm: torch has it for GPUs only"):
        make_model(dataclasses.replace(base, sync_batchnorm=True), data, CPU)


def test_memory_formats_are_the_networks_and_the_batches(base: Run, data: PreparedData) -> None:
    for name, layout in (("channels_last", torch.channels_last), ("contiguous", torch.contiguous_format)):
        run = dataclasses.replace(base, model="small/vgg11_bn", model_args={"width": 0.125}, memory_format=name)
        learner = learner_of(run, data)
        kernel = next(each for each in learner.model.parameters() if each.ndim == 4 and each.shape[1] > 1)
        assert kernel.is_contiguous(memory_format=layout)
        steps(learner, 1)


def test_nothing_is_compiled_on_a_cpu_unless_asked(base: Run) -> None:
    long = dataclasses.replace(base, epochs=LEAST_STEPS)
    assert not wanted(long, 100, CPU)
    assert wanted(long, 100, torch.device("cuda"))
    assert not wanted(dataclasses.replace(base, epochs=1), 100, torch.device("cuda"))
    assert wanted(dataclasses.replace(base, compile="always"), 1, CPU)
    assert not wanted(dataclasses.replace(long, compile="never"), 100, torch.device("cuda"))


@pytest.mark.slow
def test_compiled_steps_give_the_weights_of_eager_ones_to_within_rounding(base: Run, data: PreparedData) -> None:
    eager = steps(learner_of(base, data), 6).model.state_dict()
    compiled = steps(learner_of(dataclasses.replace(base, compile="always"), data), 6).model.state_dict()
    assert eager.keys() == compiled.keys()
    for name, each in eager.items():
        assert torch.allclose(each, compiled[name], atol=1e-3), name
