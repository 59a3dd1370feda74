"""Our loop with augmentation against a loop over PIL images with torchvision's transforms: the same accuracy."""

import dataclasses
import statistics

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision.transforms import v2

from benchmark.data import datasets
from benchmark.run import DataSpec, Run
from benchmark.training.data import Normalize, PreparedData, load
from benchmark.training.learner import Learner
from benchmark.training.outset import make_model, set_up
from tests.test_checkpoint import denormals  # noqa: F401  # a fixture

CPU = torch.device("cpu")
SEEDS = range(5)
FAMILIES = {
    "LeNet": {"model": "lenet5", "lr": 4e-3, "epochs": 4},
    "VGG": {"model": "small/vgg11_bn", "model_args": {"width": 0.125}, "lr": 2e-3, "epochs": 3},
    "ViT": {
        "model": "small/vit",
        "model_args": {"patch_size": 7, "embed_dim": 48, "depth": 2},
        "lr": 2e-3,
        "epochs": 4,
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    cache = tmp_path_factory.mktemp("cache")
    whole = load(datasets.prepare(DataSpec(), image_size=28, channels=1, resize="crop", cache=cache))
    return dataclasses.replace(whole, train=whole.train.part(slice(0, 2000)))


def ours(run: Run, data: PreparedData) -> float:
    set_up(run)
    learner = Learner.of(run, data, make_model(run, data, CPU), Normalize(data.mean, data.std))
    for epoch in range(1, run.epochs + 1):
        learner.epoch(epoch)
    return float(learner.validate(data.test, run.epochs)["val/accuracy"] or 0)


def theirs(run: Run, data: PreparedData) -> float:
    set_up(run)
    model = make_model(run, data, CPU)
    transform = v2.Compose(
        [
            v2.RandomCrop(28, padding=4, padding_mode="reflect"),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(data.mean.tolist(), data.std.tolist()),
        ]
    )
    pictures = [Image.fromarray(each.numpy()) for each in data.train.images[..., 0]]
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.lr, weight_decay=run.weight_decay)
    steps = run.epochs * -(-len(pictures) // run.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in range(run.epochs):
        for picked in torch.randperm(len(pictures)).split(run.batch_size):  # type: ignore[no-untyped-call]
            images = torch.stack([transform(pictures[int(index)]) for index in picked])
            loss = F.cross_entropy(model(images), data.train.labels[picked])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return accuracy(model, data)


def accuracy(model: nn.Module, data: PreparedData) -> float:
    model.eval()
    images = data.test.images.permute(0, 3, 1, 2).float() / 255
    images = (images - data.mean.view(1, -1, 1, 1)) / data.std.view(1, -1, 1, 1)
    with torch.no_grad():
        right = [model(part).argmax(1) for part in images.split(256)]  # type: ignore[no-untyped-call]
    return float((torch.cat(right) == data.test.labels).float().mean())


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("family", FAMILIES)
def test_five_seeds_with_augmentation_are_as_accurate_as_a_loop_over_pictures(
    family: str, data: PreparedData, capsys: pytest.CaptureFixture[str]
) -> None:
    base = Run(DataSpec(), image_size=28, channels=1, augment="light", batch_size=64, device="cpu", **FAMILIES[family])
    runs = [dataclasses.replace(base, seed=seed) for seed in SEEDS]
    mine, plain = [ours(run, data) for run in runs], [theirs(run, data) for run in runs]
    noise = max(0.01, statistics.stdev(mine), statistics.stdev(plain))
    apart = statistics.mean(mine) - statistics.mean(plain)
    with capsys.disabled():
        print(f"\n{family}: {statistics.mean(mine):.4f} ± {statistics.stdev(mine):.4f} ours, "
              f"{statistics.mean(plain):.4f} ± {statistics.stdev(plain):.4f} plain")  # fmt: skip
    assert abs(apart) < 3 * noise * (2 / len(SEEDS)) ** 0.5, "three standard errors of the difference"
