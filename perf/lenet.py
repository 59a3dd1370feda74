"""LeNet-5 on all of Fashion-MNIST, five epochs on one thread: test accuracy, and our loop against a plain one.

    python perf/lenet.py --seeds 0 1 2

Both loops train the same network on the same images in the same order in one process, one after the other, seed by
seed.  The plain loop is what one writes by hand over uint8 images in memory: normalise, forward, backward, step; it
does not validate, and our time is that of the training parts alone.  Of the 60,000 training images 1,000 are set aside
to choose the best epoch by; both loops train on the other 59,000.  Fashion-MNIST is torchvision's (downloaded, or
found where Debian's package `dataset-fashion-mnist` puts it).
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmark.data import datasets
from benchmark.run import DataSpec, Run
from benchmark.training.data import Normalize, PreparedData, batches, epoch_order, load
from benchmark.training.evaluate import predict
from benchmark.training.loop import train
from benchmark.training.metrics import scores
from benchmark.training.outset import make_model, set_up
from perf.sides import Figure, Side, finish, parser

FASHION_MNIST = DataSpec("torchvision", name="FashionMNIST", val_fraction=1 / 60)
VARIANTS = {
    "tanh, average pooling": ({}, 88.7),
    "ReLU, max pooling": ({"activation": "relu", "pooling": "max"}, 90.2),
}
SLOWER = 1.10
"""Our loop may take at most so many times the plain one's seconds."""


class Trained(NamedTuple):
    """What came of one loop with one seed; accuracy in percent."""

    accuracy: float
    seconds: float


def main() -> int:
    """Prints a line per seed and a summary; 1 where a limit is not kept."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--epochs", type=int, default=5)
    arguments = options.parse_args()
    base, data = prepare(arguments.epochs)
    figures = []
    for name, (model_args, least) in VARIANTS.items():
        run = dataclasses.replace(base, model_args=model_args)
        found = [measure(dataclasses.replace(run, seed=seed), data) for seed in arguments.seeds]
        ours, plain = zip(*found, strict=True)
        figures += compared(name, ours, plain, least)
    return finish("lenet", figures, arguments.json)


def prepare(epochs: int) -> tuple[Run, PreparedData]:
    """The run without its variant, and the decoded images."""
    cache = datasets.cache_directory()
    digest = datasets.inspect(FASHION_MNIST, cache).digest
    directory = datasets.prepare(FASHION_MNIST, image_size=28, channels=1, resize="crop", cache=cache)
    run = Run(
        FASHION_MNIST, "lenet5", data_digest=digest, image_size=28, channels=1,
        epochs=epochs, batch_size=64, optimizer="adamw", lr=4e-3, schedule="onecycle", device="cpu",
    )  # fmt: skip
    return run, load(directory)


def measure(run: Run, data: PreparedData) -> tuple[Trained, Trained]:
    """Both loops with one seed."""
    set_up(run)
    cpu, normalize = torch.device("cpu"), Normalize(data.mean, data.std)
    ours = make_model(run, data, cpu)
    seconds = train(run, data, ours, normalize, lambda event: None).seconds
    plain = make_model(run, data, cpu)
    started = time.perf_counter()
    train_plainly(run, data, plain)
    plain_seconds = time.perf_counter() - started
    return (
        Trained(100 * accuracy(ours, data, normalize), seconds),
        Trained(100 * accuracy(plain, data, normalize), plain_seconds),
    )


def train_plainly(run: Run, data: PreparedData, model: nn.Module) -> None:
    """A loop as one writes it by hand."""
    images, labels = data.train.images, data.train.labels
    steps = -(-len(labels) // run.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.lr, weight_decay=run.weight_decay)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=run.lr, total_steps=run.epochs * steps)
    model.train()
    for epoch in range(1, run.epochs + 1):
        order = epoch_order(len(labels), run.seed, epoch)
        for start in range(0, len(labels), run.batch_size):
            index = order[start : start + run.batch_size]
            batch = images[index].permute(0, 3, 1, 2).float().div(255).sub(data.mean).div(data.std)
            loss = F.cross_entropy(model(batch), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()


def accuracy(model: nn.Module, data: PreparedData, normalize: Normalize) -> float:
    """On the test images."""
    log_probs = predict(model, batches(data.test, 256, normalize))
    return float(scores(data.test.labels.numpy(), log_probs).values["accuracy"] or 0.0)


def compared(name: str, ours: Sequence[Trained], plain: Sequence[Trained], least: float) -> list[Figure]:
    """Mean and single accuracies, and seconds."""
    both = {"ours": ours, "plain loop": plain}
    means = [Side(each, (statistics.fmean(one.accuracy for one in found),)) for each, found in both.items()]
    accuracies = [Side(each, tuple(one.accuracy for one in found)) for each, found in both.items()]
    seconds = [Side(each, tuple(one.seconds for one in found)) for each, found in both.items()]
    return [
        Figure(f"{name}: test accuracy, mean of {len(ours)} seeds", "%", *means, most=least, better="higher"),
        Figure(f"{name}: test accuracy, seed by seed", "%", *accuracies, better="higher"),
        Figure(f"{name}: training", "seconds", *seconds, least=1 / SLOWER),
    ]


if __name__ == "__main__":
    sys.exit(main())
