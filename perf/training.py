"""Training images per CPU second: our loop against one fixed batch, and against a loop over PIL images.

    python perf/training.py                          all five cases, nine rounds
    python perf/training.py --models lenet5 --sizes 28 --guard 0.6

Batches of 64, one thread, AdamW.  *Ours* is the loop of a job (`benchmark.training.learner.Learner`) over prepared
images.  *Fixed batch* is the limit, which no loop can beat: the same network, criterion and optimizer over one
normalised batch again and again, without order, data, schedule or counting.  *PIL* is the loop of a tutorial: a
`DataLoader` without workers over an `ImageFolder` of PNG files, each through PIL and `ToTensor`, the network in its
default layout, torch's own optimizer.  *PIL, decoded* is the same over images that lie decoded in memory, as
torchvision's small sets do.  All are measured in turns in one process.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose, Grayscale, ToTensor
from torchvision.transforms import Normalize as Normalise

from benchmark.data import datasets
from benchmark.run import DataSpec, Run
from benchmark.training.data import Normalize, PreparedData, load
from benchmark.training.learner import Learner
from benchmark.training.models import build
from benchmark.training.optim import make_criterion, make_optimizer
from benchmark.training.outset import make_model, set_up, shape
from perf.rounds import as_a_job, cpu_seconds, in_turns
from perf.sides import Figure, finish, parser

CASES = [
    ("lenet5", 28, 1), ("resnet18", 32, 3), ("resnet18", 64, 3),
    ("mobilenetv3_small_100", 32, 3), ("mobilenetv3_small_100", 64, 3),
]  # fmt: skip
"""Model, pixels, channels."""
LEAST = {
    "lenet5": {"fixed batch": 0.88, "PIL": 3.3},
    "resnet18": {"fixed batch": 0.95, "PIL": 1.15},
    "mobilenetv3_small_100": {"fixed batch": 0.95},
}
"""So many times as many images a CPU second as that side."""
BATCH = 64
IMAGES = {"lenet5": 200 * BATCH}
"""Of one measurement; by default ``--images``."""
Work = Callable[[], int]
"""Trains, and says on how many images."""


def main() -> int:
    """Prints a line for each case and side; 1 where a limit is not kept."""
    options = parser(__doc__, guard="only less than so much of a limit is a failure")
    options.add_argument("--models", nargs="+", default=list(LEAST), choices=list(LEAST))
    options.add_argument("--sizes", type=int, nargs="+", default=[28, 32, 64])
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--images", type=int, default=12 * BATCH, help="of one measurement; lenet5: 200 batches")
    arguments = options.parse_args()
    as_a_job()
    figures = []
    for model, size, channels in CASES:
        if model in arguments.models and size in arguments.sizes:
            images = max(arguments.images, IMAGES.get(model, 0)) if arguments.guard is None else arguments.images
            figures += measure(model, size, channels, images, arguments.rounds)
    times = 1.0 if arguments.guard is None else 1 / arguments.guard if arguments.guard else math.inf
    return finish("training", figures, arguments.json, times=times)


def measure(model: str, size: int, channels: int, images: int, rounds: int) -> list[Figure]:
    """Ours against each other side."""
    with tempfile.TemporaryDirectory() as scratch:
        run, data = prepared(model, size, channels, images, Path(scratch))
        set_up(run)
        pictures = {"PIL": folder(data, Path(scratch) / "files"), "PIL, decoded": Pictures(data)}
        work = {"ours": ours(run, data), "fixed batch": fixed(run, data)}
        work |= {name: plain(run, data, each) for name, each in pictures.items()}
        mine, *others = in_turns({name: partial(rate, each) for name, each in work.items()}, rounds).values()
    what, least = f"{model}, {size} px", LEAST[model]
    return [
        Figure(what, "images a CPU second", mine, each, least=least.get(each.name), better="higher") for each in others
    ]


def rate(work: Work) -> float:
    """Images a CPU second."""
    before = cpu_seconds()
    return work() / (cpu_seconds() - before)


def prepared(model: str, size: int, channels: int, images: int, home: Path) -> tuple[Run, PreparedData]:
    """A run over generated images, ``images`` of which train."""
    spec = DataSpec(
        "synthetic", train_size=2 * images + 2 * BATCH, test_size=10, size=size, planes=channels, val_fraction=0.5
    )
    directory = datasets.prepare(spec, image_size=size, channels=channels, resize="crop", cache=home)
    run = Run(spec, model, image_size=size, channels=channels, batch_size=BATCH, epochs=10**6, device="cpu")
    data = load(directory)
    return run, dataclasses.replace(data, train=data.train.part(slice(images)))  # whole batches, on every side


def ours(run: Run, data: PreparedData) -> Work:
    model = make_model(run, data, torch.device("cpu"))
    learner = Learner.of(run, data, model, Normalize(data.mean, data.std))
    epoch = 0

    def work() -> int:
        nonlocal epoch
        epoch += 1
        for _ in learner.go_on(learner.begin(epoch)):
            pass
        return len(data.train)

    return work


def fixed(run: Run, data: PreparedData) -> Work:
    model = make_model(run, data, torch.device("cpu")).train()
    criterion = make_criterion(run, data.train.labels, len(data.classes))
    optimizer = make_optimizer(run, model)
    images, labels = Normalize(data.mean, data.std)(data.train.images[:BATCH]), data.train.labels[:BATCH]

    def work() -> int:
        for _ in range(len(data.train) // BATCH):
            optimizer.zero_grad(set_to_none=True)
            criterion(model(images), labels).backward()
            optimizer.step()
        return len(data.train)

    return work


class Pictures(Dataset[tuple[Tensor, int]]):
    """The training images as torchvision's small data sets show theirs."""

    def __init__(self, data: PreparedData) -> None:
        self.images, self.labels, self.transform = data.train.images.numpy(), data.train.labels.tolist(), tensors(data)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.picture(index)), self.labels[index]

    def picture(self, index: int) -> Image.Image:
        image = self.images[index]
        return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def folder(data: PreparedData, home: Path) -> ImageFolder:
    """The training images as files."""
    pictures = Pictures(data)
    for index, label in enumerate(pictures.labels):
        (home / f"{label:03}").mkdir(parents=True, exist_ok=True)
        pictures.picture(index).save(home / f"{label:03}" / f"{index}.png")
    grey = [Grayscale()] if data.train.images.shape[3] == 1 else []
    return ImageFolder(str(home), Compose([*grey, tensors(data)]))


def tensors(data: PreparedData) -> Compose:
    return Compose([ToTensor(), Normalise(data.mean.tolist(), data.std.tolist())])


def plain(run: Run, data: PreparedData, pictures: Pictures | ImageFolder) -> Work:
    torch.manual_seed(run.seed)
    model = build(run.model, run.model_args, *shape(data), len(data.classes)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.lr, weight_decay=run.weight_decay)
    loader = DataLoader(pictures, batch_size=BATCH, shuffle=True)

    def work() -> int:
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        return len(pictures)

    return work


if __name__ == "__main__":
    sys.exit(main())
