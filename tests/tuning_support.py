"""Pretrained runs for tests: small RGB images, weights of another seed, in a cache as the orchestrator leaves it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from benchmark import obtaining
from benchmark.data import datasets
from benchmark.run import DataSpec, Run
from benchmark.training.models import build
from benchmark.weights import WeightsSpec, directory

SPEC = DataSpec("synthetic", train_size=160, test_size=60, size=32, planes=3, classes=3)
GREY = dataclasses.replace(SPEC, planes=1)
MODEL = "test_resnet"


def weights_file(path: Path, model: str = MODEL, classes: int = 10, size: int = 32) -> Path:
    """A file of weights as somebody else has trained them."""
    torch.manual_seed(42)
    network = build(model, {}, size, 3, classes)
    with torch.no_grad():  # as training would leave it: no statistics of batch normalisation are 0 and 1
        for _ in range(3):
            network.train()(torch.randn(8, 3, size, size))
    save_file({name: each.contiguous() for name, each in network.state_dict().items()}, path)
    return path


@dataclasses.dataclass(frozen=True)
class Bench:
    """A cache with images and weights, and runs that want them."""

    cache: Path

    @classmethod
    def make(cls, cache: Path) -> Bench:
        cache.mkdir(exist_ok=True)
        return cls(cache)

    def run(self, spec: DataSpec = SPEC, model: str = MODEL, **keys: Any) -> Run:
        """A resolved run with pretrained weights."""
        facts = datasets.inspect(spec, self.cache)
        path = self.cache / f"{model}.safetensors"
        file = str(path if path.exists() else weights_file(path, model))
        wanted = WeightsSpec(model, "{}", file, 32, spec.planes, spec.classes)
        found = obtaining.obtain([wanted], self.cache)[wanted]
        assert not found.error, found.error
        given = {
            "data_digest": facts.digest,
            "weights_digest": found.digest,
            "pretrained": file,
            "image_size": 32,
            "channels": spec.planes,
            "epochs": 3,
            "batch_size": 32,
            "lr": 3e-3,
            "device": "cpu",
            "mean": [0.5] * spec.planes,
            "std": [0.25] * spec.planes,
        }
        return Run(spec, model, **{**given, **keys})

    def data(self, spec: DataSpec = SPEC) -> Path:
        return datasets.prepare(spec, image_size=32, channels=spec.planes, resize="crop", cache=self.cache)

    def weights(self, run: Run) -> Path:
        return directory(run.weights_digest, self.cache)
