"""What is known of models and optimizers, found out in a process of its own so that the command need not import torch.

Reads JSON documents from standard input, one a line, ``{"names": true}``, ``{"models": [...]}`` or ``{"optimizers":
[...]}``, and writes one JSON line for each answer to standard output.  Networks live on the meta device: nothing is
computed, no memory is taken.  The smallest image is found by trying, since no table would hold for ``model_args`` and
future versions.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import IO, Any

import torch
from timm.optim._optim_factory import list_optimizers
from torch import Tensor, nn

from benchmark.catalogue import ModelFacts, ModelSpec, OptimizerSpec
from benchmark.children import answers
from benchmark.plugins import PluginError
from benchmark.run import DataSpec, Run
from benchmark.training import models
from benchmark.training.activations import count_activations
from benchmark.training.macs import count_macs
from benchmark.training.models import ModelError
from benchmark.training.optim import OptimError, make_optimizer
from benchmark.training.timm_models import patch_size

_LARGER = (16, 32, 64, 75, 128, 224, 256, 299, 384, 448, 512)
"""Sizes tried when the one asked for does not work: powers of two and what networks were published with."""


def main(requests: IO[str], answers: IO[str]) -> None:
    """Answers each request, each line as soon as it is known."""
    for request in requests:
        try:
            for answer in _answers(json.loads(request)):
                answers.write(json.dumps(answer) + "\n")
                answers.flush()
        except PluginError as error:
            answers.write(json.dumps({"plugin": str(error)}) + "\n")
            answers.flush()


def facts(spec: ModelSpec) -> ModelFacts:
    """Parameters, multiply-adds, activations and minimum size; what is wrong with ``spec`` stands in ``error``.

    Where only the images are too small (or of a size that does not fit), ``minimum_size`` is the next larger size that
    works and the other numbers are those at that size.
    """
    try:
        args = json.loads(spec.model_args)
        words = models.architecture(spec.model, args)
    except ModelError as unknown:
        return ModelFacts(0, 0, "", 0, str(unknown))
    problem = _problem(spec, args, spec.image_size)
    if problem is None:
        return _measured(spec, args, spec.image_size, words, _smallest(spec, args, 0, spec.image_size), None)
    larger = _larger(spec, args)
    if larger is None:
        return ModelFacts(0, 0, words, 0, problem)
    error = f"{problem}; the next size that works is {larger}: set image_size: {larger}, or resize: auto"
    return _measured(spec, args, larger, words, larger, error)


def refusal(spec: OptimizerSpec) -> str | None:
    """Why an optimizer cannot be made, or cannot take two steps; ``None`` where it can, and where only a machine with a
    GPU can tell."""
    run = Run(DataSpec(), "", optimizer=spec.optimizer, optimizer_args=json.loads(spec.optimizer_args))
    layer = nn.Linear(2, 2)
    try:
        optimizer = make_optimizer(run, layer)
        for _ in range(2):  # momentum begins with the second
            layer(torch.ones(1, 2)).sum().backward()
            optimizer.step()
    except OptimError as error:
        return None if "CUDA required" in str(error) else str(error)
    except Exception as error:  # whatever an optimizer raises at arguments that it took at first
        return f"optimizer_args: {spec.optimizer} cannot take a step: {error}"
    return None


def _answers(request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if request.get("names"):
        optimizers = tuple(list_optimizers())
        lists = {"names": models.known_names(), "listed": models.listed_names(), "weights": models.with_weights()}
        yield {**lists, "optimizers": optimizers}
    for document in request.get("models", ()):
        yield {"spec": document, "facts": dataclasses.asdict(facts(ModelSpec(**document)))}
    for document in request.get("optimizers", ()):
        yield {"spec": document, "refusal": refusal(OptimizerSpec(**document))}


def _measured(
    spec: ModelSpec, args: Mapping[str, Any], size: int, words: str, minimum: int, error: str | None
) -> ModelFacts:
    network = _build(spec, args, size)
    parameters = sum(each.numel() for each in network.parameters())
    macs = count_macs(network, size, spec.channels)
    activations, widest = count_activations(network, size, spec.channels)
    batch = 1 if _trains_on_one(network, size, spec.channels) else 2
    return ModelFacts(parameters, macs, words, minimum, error, activations, widest, batch)


def _trains_on_one(network: nn.Module, size: int, channels: int) -> bool:
    try:
        _logits(network.train(), channels, size, images=1)
    except ValueError:  # of batch normalisation: more than one value per channel is needed
        return False
    return True


def _larger(spec: ModelSpec, args: Mapping[str, Any]) -> int | None:
    """The smallest size above the one asked for that works, if any up to 512 does."""
    below = spec.image_size
    for size in (each for each in _LARGER if each > spec.image_size):
        if _problem(spec, args, size) is None:
            return _smallest(spec, args, below, size)
        below = size
    return None


def _smallest(spec: ModelSpec, args: Mapping[str, Any], low: int, high: int) -> int:
    """The smallest size in (low, high] that works, by bisection; ``high`` works.  Only whole patches are tried."""
    step = patch_size(_build(spec, args, high))
    low, high = low // step, high // step
    while high - low > 1:
        middle = (low + high) // 2
        if _problem(spec, args, middle * step) is None:
            high = middle
        else:
            low = middle
    return high * step


def _problem(spec: ModelSpec, args: Mapping[str, Any], size: int) -> str | None:
    """Why a step of training and one of evaluation do not work at ``size``, or ``None``."""
    try:
        network = _build(spec, args, size)
    except ModelError as error:
        return str(error)
    try:
        shapes = [_logits(network.train(mode), spec.channels, size) for mode in (True, False)]
    except Exception as error:  # whatever a network raises at a size that it cannot take
        return f"does not work on images of {size} pixels ({str(error) or type(error).__name__})"
    wrong = next((shape for shape in shapes if shape != (2, spec.classes)), None)
    return f"is not a classifier: it gives {wrong} for 2 images" if wrong else None


def _logits(network: nn.Module, channels: int, size: int, images: int = 2) -> tuple[int, ...] | str:
    with torch.device("meta"):
        outputs = network(torch.empty(images, channels, size, size))
    logits = outputs[0] if network.training and isinstance(outputs, tuple) else outputs
    return tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__


def _build(spec: ModelSpec, args: Mapping[str, Any], size: int) -> nn.Module:
    with torch.device("meta"):
        return models.build(spec.model, args, size, spec.channels, spec.classes)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of libraries about each other; nobody reads them here
    main(sys.stdin, answers())
