"""torchvision's classifiers by name, without weights, for any number of classes and for grey or RGB images."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from benchmark.weights import WeightsFacts

_SIZE_ARGUMENT = {"vit": "image_size", "maxvit": "input_size"}
_EXPLICIT_INIT = {"googlenet", "inception_v3"}
"""They warn when they are left to choose their initialisation; the choice stays what it is by default today."""


@functools.cache
def names() -> tuple[str, ...]:
    """Every classifier that torchvision has."""
    import torchvision

    return tuple(torchvision.models.list_models(module=torchvision.models))


def make(name: str, model_args: Mapping[str, Any], image_size: int, channels: int, classes: int) -> nn.Module:
    """A network with random weights.

    Raises:
        ValueError: a number of channels that is neither 1 nor 3.
        TypeError: an argument that the network does not have.
    """
    import torchvision

    if channels not in (1, 3):
        raise ValueError(f"networks of torchvision take 1 or 3 channels, not {channels}")
    fixed = {"init_weights": True} if name in _EXPLICIT_INIT else {}
    network: nn.Module = torchvision.models.get_model(
        name, weights=None, num_classes=classes, **_size_argument(name, image_size), **{**fixed, **model_args}
    )
    if channels == 1:
        _make_grey(network)
    return network


def _size_argument(name: str, image_size: int) -> dict[str, Any]:
    keyword = _SIZE_ARGUMENT.get(name.split("_")[0])
    return {keyword: (image_size, image_size) if keyword == "input_size" else image_size} if keyword else {}


def _make_grey(network: nn.Module) -> None:
    """Sums the first convolution's kernels over RGB: the network then does to a grey image what the RGB network of
    the same seed does to that image in all three channels, and its activations start at the scale it was made for."""
    first = next(each for each in network.modules() if isinstance(each, nn.Conv2d) and each.in_channels == 3)
    with torch.no_grad():
        first.weight = nn.Parameter(first.weight.sum(dim=1, keepdim=True))
    first.in_channels = 1


def with_weights() -> frozenset[str]:
    """The classifiers for which torchvision has pretrained weights."""
    return frozenset(name for name in names() if weights(name) is not None)


def weights(name: str) -> Any:
    """torchvision's default weights of a classifier (a member of its ``WeightsEnum``), or ``None``."""
    import torchvision

    try:
        return torchvision.models.get_model_weights(name).DEFAULT
    except (ValueError, AttributeError):
        return None


def wanted_input(name: str) -> WeightsFacts:
    """How the network with those weights wants its images; without a digest."""
    found = weights(name)
    if found is None:
        return WeightsFacts()
    asked = found.transforms()
    # GoogLeNet and Inception v3 would map what is normalised for ImageNet to this themselves (transform_input).
    half = (0.5,) * 3 if name in _EXPLICIT_INIT else None
    return WeightsFacts(
        mean=half or tuple(asked.mean),
        std=half or tuple(asked.std),
        interpolation=asked.interpolation.value,
        crop_pct=asked.crop_size[0] / asked.resize_size[0],
    )
