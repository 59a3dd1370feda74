"""Pretrained weights into a network: the job's half, the same when weights are checked before any job.

Weights have the network's own names.  What may differ is fitted as timm does it: the first convolution to another
number of channels (``timm.models.adapt_input_conv``: the sum over RGB for grey), position embeddings to another image
size (the network's ``checkpoint_filter_fn``).  A classifier of another number of classes is made fresh as timm's
``reset_classifier`` makes it, by torch's own initialisation: some networks' own is made for a thousand classes, and of
a few it gives logits so large that they have to be unlearnt.  Auxiliary heads that the weights lack stay as they were.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from timm.models import adapt_input_conv
from torch import Tensor, nn

from benchmark.training.heads import head_modules, in_head
from benchmark.training.statedict import Shape, Tensors, WeightsError, matched
from benchmark.weights import FILE, sha256

AUXILIARY = re.compile(r"(aux\w*|AuxLogits|fc_aux|head_dist)\.")
"""Of tensors, the beginnings of names: heads beside the classifier."""
_COUNTER = "num_batches_tracked"
"""Of batch normalisation, which old files lack; it has no part in any result here."""


def load_weights(network: nn.Module, directory: Path, digest: str) -> None:
    """Writes the weights in ``directory`` into ``network``, in place.

    Args:
        digest: their SHA-256.

    Raises:
        WeightsError: they are not there, not those, or do not fit.
    """
    path = directory / FILE
    if not path.exists():
        raise WeightsError(f"{path} is not there; run the command again, which obtains the weights")
    if (found := sha256(path)) != digest:
        raise WeightsError(f"the run wants weights {digest[:12]}, {path} holds {found[:12]}; remove {directory}")
    fill(network, load_file(path))


def fill(network: nn.Module, tensors: Tensors) -> None:
    """Writes ``tensors`` (names of the network's, whatever their floating-point type) into ``network``, in place.

    Raises:
        WeightsError: a tensor is missing, is not the network's, or has a shape that cannot be fitted.
    """
    state, head = network.state_dict(), in_head(network)
    fitted = named_for(network, tensors)
    fitted = {name: _channels(each, state[name]) for name, each in fitted.items()}
    if any(name not in head and each.shape != state[name].shape for name, each in fitted.items()):
        fitted = _filtered(network, fitted) or fitted
    # A classifier of other classes, as a whole: weights without their bias would be neither the one nor the other.
    fresh = {name for name in head if name not in fitted or fitted[name].shape != state[name].shape}
    fresh = set(head) if fresh else set()
    if fresh:
        _renew(network)
    used = {name: each for name, each in fitted.items() if name not in fresh and not _other_aux(name, each, state)}
    wrong = [name for name, each in used.items() if each.shape != state[name].shape]
    if wrong:
        there, here = (tuple(each[wrong[0]].shape) for each in (used, state))
        raise WeightsError(f"{wrong[0]} is {there} in the weights, {here} in the model")
    with torch.no_grad():
        for name, each in used.items():
            state[name].copy_(each)


def named_for(network: nn.Module, tensors: Mapping[str, Tensor]) -> Tensors:
    """``tensors`` under the names of ``network``, which may be on the meta device (:func:`statedict.matched`).

    Raises:
        WeightsError: they are not its.
    """
    head = in_head(network)
    wanted = {name: tuple(each.shape) for name, each in network.state_dict().items()}

    def fits(name: str, shape: Shape) -> bool:
        """What :func:`fill` fits may differ: the number of classes, and of channels."""
        here = wanted[name]
        return shape == here or (name in head and shape[1:] == here[1:]) or _is_input(shape, here)

    def optional(name: str) -> bool:
        return name in head or name.endswith(_COUNTER) or bool(AUXILIARY.match(name))

    try:
        return matched(tensors, wanted, fits, optional)
    except WeightsError:
        filtered = _filtered(network, tensors)  # names of the authors, which timm translates
        if filtered is None or list(filtered) == list(tensors):
            raise
        return matched(filtered, wanted, fits, optional)


def _renew(network: nn.Module) -> None:
    """A fresh classifier, from torch's global generator."""
    for each in head_modules(network):
        if isinstance(each, nn.Linear | nn.Conv2d):
            each.reset_parameters()


def _is_input(shape: Shape, here: Shape) -> bool:
    """A convolution that differs in the number of channels it reads, grey or RGB."""
    alike = len(shape) == len(here) == 4 and shape[0] == here[0] and shape[2:] == here[2:]
    return alike and {shape[1], here[1]} == {1, 3}


def _channels(tensor: Tensor, like: Tensor) -> Tensor:
    if not _is_input(tuple(tensor.shape), tuple(like.shape)):
        return tensor
    adapted: Tensor = adapt_input_conv(like.shape[1], tensor, base_chans=tensor.shape[1])
    return adapted


def _other_aux(name: str, tensor: Tensor, state: Mapping[str, Tensor]) -> bool:
    return bool(AUXILIARY.match(name)) and tensor.shape != state[name].shape


def _filtered(network: nn.Module, tensors: Mapping[str, Tensor]) -> Tensors | None:
    """What timm makes of the weights of this kind of network; ``None`` where it has nothing to say."""
    module = sys.modules.get(type(network).__module__)
    convert: Callable[..., Any] | None = getattr(module, "checkpoint_filter_fn", None)
    if convert is None:
        return None
    try:
        return dict(convert(dict(tensors), network))
    except Exception:  # made for a family's known files, of which these are none
        return None
