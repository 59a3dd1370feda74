"""Training images per CPU second: our loop against one fixed batch, and against a loop over PIL images.

    python perf/training.py                          all five cases, nine rounds
    python perf/training.py --models lenet5 --sizes 28 --guard 0.6

*ours* is :class:`benchmark.training.learner.Learner` over prepared images.  *fixed* is the limit: the same network,
criterion and optimizer over one normalised batch again and again, without order, data, schedule or counting.  *pil* is
the loop of a tutorial: a ``DataLoader`` without workers over an ``ImageFolder`` of PNG files, each through PIL and
``ToTensor``, the network in its default layout, torch's own optimizer.  *pil, decoded* is the same over images that
lie decoded in memory, as torchvision's small sets do.  All are measured in turns in one process.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from benchmark.training.environment import environment
from benchmark.training.learner import Learner
from benchmark.training.models import build
from benchmark.training.optim import make_criterion, make_optimizer
from benchmark.training.outset import make_model, set_up, shape
from perf.rounds import as_a_job, in_turns, medians, ratio

CASES = [
    ("lenet5", 28, 1), ("resnet18", 32, 3), ("resnet18", 64, 3),
    ("mobilenetv3_small_100", 32, 3), ("mobilenetv3_small_100", 64, 3),
]  # fmt: skip
"""Model, pixels, channels."""
LEAST = {
    "lenet5": {"fixed": 0.88, "pil": 3.3},
    "resnet18": {"fixed": 0.95, "pil": 1.15},
    "mobilenetv3_small_100": {"fixed": 0.95},
}
"""So many times as many images a CPU second as that side."""
BATCH = 64
IMAGES = {"lenet5": 200 * BATCH}
"""Of one measurement; by default ``--images``."""
Side = Callable[[], int]


def main() -> int:
    """Prints a line for each case; 1 where a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(LEAST), choices=list(LEAST))
    parser.add_argument("--sizes", type=int, nargs="+", default=[28, 32, 64])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--images", type=int, default=12 * BATCH, help="of one measurement; lenet5: 200 batches")
    parser.add_argument("--guard", type=float, metavar="SHARE", help="only less than so much of a limit is a failure")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    as_a_job()
    rows = []
    for model, size, channels in CASES:
        if model in arguments.models and size in arguments.sizes:
            images = max(arguments.images, IMAGES.get(model, 0)) if arguments.guard is None else arguments.images
            rows.append(row := measure(model, size, channels, images, arguments.rounds))
            print(line(row), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows, "environment": environment()}, indent=1))
    share = 1.0 if arguments.guard is None else arguments.guard
    return 0 if all(row["ratios"][side] >= share * least for row in rows for side, least in row["least"].items()) else 1


def measure(model: str, size: int, channels: int, images: int, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        run, data = prepared(model, size, channels, images, Path(scratch))
        set_up(run)
        sides = {"ours": ours(run, data), "fixed": fixed(run, data)}
        pictures = {"pil": folder(data, Path(scratch) / "files"), "pil, decoded": Pictures(data)}
        sides |= {name: plain(run, data, each) for name, each in pictures.items()}
        found = in_turns(sides, rounds)
    rates = {name: {"cpu": rate.cpu, "wall": rate.wall} for name, rate in medians(found).items()}
    ratios = {side: ratio(found, "ours", side) for side in sides if side != "ours"}
    return {"model": model, "size": size, "rounds": rounds, "rates": rates, "ratios": ratios, "least": LEAST[model]}


def line(row: dict[str, Any]) -> str:
    rates = ", ".join(f"{name} {each['cpu']:.0f} ({each['wall']:.0f} wall)" for name, each in row["rates"].items())
    against = ", ".join(
        f"{each:.3f} of {side}" + (f" (limit {row['least'][side]:g})" if side in row["least"] else "")
        for side, each in row["ratios"].items()
    )
    return f"{row['model']} at {row['size']} px, images per CPU second: {rates}; ours is {against}"


def prepared(model: str, size: int, channels: int, images: int, home: Path) -> tuple[Run, PreparedData]:
    """A run over generated images, ``images`` of which train."""
    spec = DataSpec(
        "synthetic", train_size=2 * images + 2 * BATCH, test_size=10, size=size, planes=channels, val_fraction=0.5
    )
    directory = datasets.prepare(spec, image_size=size, channels=channels, resize="crop", cache=home)
    run = Run(spec, model, image_size=size, channels=channels, batch_size=BATCH, epochs=10**6, device="cpu")
    data = load(directory)
    return run, dataclasses.replace(data, train=data.train.part(slice(images)))  # whole batches, on every side


def ours(run: Run, data: PreparedData) -> Side:
    model = make_model(run, data, torch.device("cpu"))
    learner = Learner.of(run, data, model, Normalize(data.mean, data.std))
    epoch = 0

    def side() -> int:
        nonlocal epoch
        epoch += 1
        for _ in learner.go_on(learner.begin(epoch)):
            pass
        return len(data.train)

    return side


def fixed(run: Run, data: PreparedData) -> Side:
    model = make_model(run, data, torch.device("cpu")).train()
    criterion = make_criterion(run, data.train.labels, len(data.classes))
    optimizer = make_optimizer(run, model)
    images, labels = Normalize(data.mean, data.std)(data.train.images[:BATCH]), data.train.labels[:BATCH]

    def side() -> int:
        for _ in range(len(data.train) // BATCH):
            optimizer.zero_grad(set_to_none=True)
            criterion(model(images), labels).backward()
            optimizer.step()
        return len(data.train)

    return side


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


def plain(run: Run, data: PreparedData, pictures: Pictures | ImageFolder) -> Side:
    torch.manual_seed(run.seed)
    model = build(run.model, run.model_args, *shape(data), len(data.classes)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.lr, weight_decay=run.weight_decay)
    loader = DataLoader(pictures, batch_size=BATCH, shuffle=True)

    def side() -> int:
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        return len(pictures)

    return side


if __name__ == "__main__":
    sys.exit(main())
