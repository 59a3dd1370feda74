"""The sides of `perf/gpu.py`: endless steps of training, each a turn of the loop that is measured."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from timm.data.loader import PrefetchLoader
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

from benchmark.run import Run
from benchmark.training.data import Normalize, PreparedData
from benchmark.training.learner import Learner
from benchmark.training.optim import make_criterion, make_optimizer
from benchmark.training.precision import Precision

Steps = Iterator[None]


def ours(run: Run, data: PreparedData, model: nn.Module, device: torch.device) -> Steps:
    learner = Learner.of(run, data, model, Normalize(data.mean, data.std, device))
    for epoch in itertools.count(1):
        yield from learner.go_on(learner.begin(epoch))


def timm_steps(run: Run, data: PreparedData, model: nn.Module, device: torch.device) -> Steps:
    """What `train.py --amp --amp-dtype bfloat16 --channels-last` does with a batch."""
    network = _compiled(model.train(), run)
    optimizer = create_optimizer_v2(model, opt=run.optimizer, lr=run.lr, weight_decay=run.weight_decay, momentum=0.9)
    criterion = LabelSmoothingCrossEntropy(run.label_smoothing).to(device)
    pixels = data.train.images.permute(0, 3, 1, 2).contiguous().split(run.batch_size)
    batches = list(zip(pixels, data.train.labels.split(run.batch_size), strict=True))
    loader = PrefetchLoader(batches, data.mean.tolist(), data.std.tolist(), device=device)
    while True:
        for images, labels in loader:
            with torch.autocast(device.type, torch.bfloat16):
                loss = criterion(network(images.contiguous(memory_format=torch.channels_last)), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            yield


def fixed(run: Run, data: PreparedData, model: nn.Module, device: torch.device) -> Steps:
    network, precision = _compiled(model.train(), run), Precision.of(run.precision, device)
    optimizer, criterion = make_optimizer(run, model), make_criterion(run, data.train.labels, len(data.classes))
    images = Normalize(data.mean, data.std, device)(data.train.images[: run.batch_size])
    labels: Tensor = data.train.labels[: run.batch_size].to(device)
    while True:
        optimizer.zero_grad(set_to_none=True)
        with precision.forward():
            loss = criterion(network(images), labels)
        loss.backward()
        optimizer.step()
        yield


def _compiled(model: nn.Module, run: Run) -> Callable[[Tensor], Tensor]:
    return torch.compile(model) if run.compile == "always" else model


SIDES = {"ours": ours, "timm": timm_steps, "fixed": fixed}
