"""The loop as one writes it by hand: the yardstick of `perf/overhead.py`.

    python perf/plain.py DATA EPOCHS SEED...         one line of JSON: seconds of each run, warm

LeNet-5 by AdamW over uint8 images in memory; after each epoch the validation images, at the end the test images.  No
files, no metrics but accuracy, no tracking.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmark.training.data import PreparedData, Split, load
from benchmark.training.lenet import LeNet5

BATCH, LR = 64, 3e-3


def train(data: PreparedData, epochs: int, seed: int) -> tuple[nn.Module, list[dict[str, float]]]:
    """A network and each epoch's loss and validation accuracy."""
    torch.manual_seed(seed)
    model = LeNet5(data.train.images.shape[1], data.train.images.shape[3], len(data.classes))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-len(data.train) // BATCH))
    history = []
    for _ in range(epochs):
        model.train()
        losses = []
        for index in torch.randperm(len(data.train)).split(BATCH):
            loss = F.cross_entropy(model(images_of(data, data.train, index)), data.train.labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss))
        accuracy = float((predict(model, data, data.val).argmax(1) == data.val.labels).float().mean())
        history.append({"loss": sum(losses) / len(losses), "accuracy": accuracy})
    return model, history


def predict(model: nn.Module, data: PreparedData, split: Split) -> Tensor:
    """Log-probabilities (n, classes)."""
    model.eval()
    with torch.inference_mode():
        parts = [model(images_of(data, split, index)) for index in torch.arange(len(split)).split(256)]
    return torch.cat(parts).log_softmax(1)


def images_of(data: PreparedData, split: Split, index: Tensor) -> Tensor:
    return split.images[index].permute(0, 3, 1, 2).float().div(255).sub(data.mean).div(data.std)


def main() -> None:
    torch.set_num_threads(1)
    directory, epochs, *seeds = sys.argv[1:]
    data, seconds = load(Path(directory)), []
    train(data, 1, 0)  # loads and plans kernels
    for seed in seeds:
        started = time.perf_counter()
        model, _ = train(data, int(epochs), int(seed))
        predict(model, data, data.test)
        seconds.append(time.perf_counter() - started)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
