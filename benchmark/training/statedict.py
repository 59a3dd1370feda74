"""Files of weights: reading them without running anything of theirs, and finding out which tensor is which.

``.safetensors`` holds tensors and nothing else; ``.pth``, ``.pt`` and ``.bin`` are read by torch with
``weights_only=True``, which unpickles tensors and plain values and refuses all else.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from benchmark.weights import SUFFIXES

Tensors = dict[str, Tensor]
Shape = tuple[int, ...]
Fits = Callable[[str, Shape], bool]
"""Whether a tensor of this shape can become the network's of this name."""
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "module")
"""Under which of these names a training program keeps its network, averages first, as timm looks for them."""
PREFIXES = ("module.", "model.", "_orig_mod.")
"""What wrappers for several GPUs and compiled networks put before each name."""
SHOWN = 3


class WeightsError(ValueError):
    """Weights that cannot be had, read, or fitted to their network; the message says what to change."""


def read(path: Path) -> Tensors:
    """The tensors of a file, on the CPU, in its order; wrappers and prefixes of training programs taken off.

    Raises:
        WeightsError: it is not there, of another kind, broken, or holds more than tensors.
    """
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"{path}: not a file of weights; known are {', '.join(SUFFIXES)}")
    try:
        found = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        remedy = "load it where you trust it, and save its state_dict as .safetensors"
        raise WeightsError(f"{path}: holds more than tensors, so that to load it could run code; {remedy}") from error
    except (SafetensorError, RuntimeError, ValueError, EOFError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: broken, or no file of weights: {error}") from error
    return _plain(_unwrapped(found), path)


def matched(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Shape], fits: Fits, optional: Callable[[str], bool]
) -> Tensors:
    """``tensors`` under the network's own names: by name, else in their order.

    In their order, every shape and the last word of every name (``weight``, ``running_mean``) must agree: the tensors
    of a batch normalisation all have one shape, and ``.safetensors`` sorts them.

    Args:
        wanted: the network's tensors and their shapes, in its order.
        fits: asked for shapes in the order; by name a shape is the caller's business.
        optional: whether the network can do without one, or the file may have one that the network has not.

    Raises:
        WeightsError: neither; the message names the first tensors that differ.
    """
    missing = [name for name in wanted if name not in tensors and not optional(name)]
    extra = [name for name in tensors if name not in wanted and not optional(name)]
    if not missing and not extra:
        return {name: tensors[name] for name in wanted if name in tensors}
    if difference := _first_difference(tensors, wanted, fits):
        raise WeightsError(f"{_names(missing, extra)}; in their order they do not fit either: {difference}")
    return dict(zip(wanted, tensors.values(), strict=True))


def _unpickled(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _unwrapped(found: Any) -> Any:
    while isinstance(found, Mapping) and not any(isinstance(each, Tensor) for each in found.values()):
        inner = next((found[name] for name in WRAPPERS if isinstance(found.get(name), Mapping)), None)
        if inner is None:
            break
        found = inner
    return found


def _plain(found: Any, path: Path) -> Tensors:
    if not isinstance(found, Mapping):
        raise WeightsError(f"{path}: holds a {type(found).__name__}, not the tensors of a network by name")
    tensors = {str(name): each for name, each in found.items() if isinstance(each, Tensor)}
    if not tensors:
        raise WeightsError(f"{path}: has no tensors; its entries are {', '.join(map(str, itertools.islice(found, 5)))}")
    while prefix := next((each for each in PREFIXES if all(name.startswith(each) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): each for name, each in tensors.items()}
    return tensors


def _first_difference(tensors: Mapping[str, Tensor], wanted: Mapping[str, Shape], fits: Fits) -> str:
    """Where the two sequences part; empty where they do not."""
    pairs = itertools.zip_longest(tensors.items(), wanted.items())
    for number, (ours, theirs) in enumerate(pairs, 1):
        if ours is None or theirs is None or not _alike(ours, theirs[0], fits):
            there = f"{ours[0]} {tuple(ours[1].shape)}" if ours else "nothing"
            here = f"{theirs[0]} {theirs[1]}" if theirs else "nothing"
            return f"number {number} is {there} in the file, {here} in the model"
    return ""


def _alike(ours: tuple[str, Tensor], theirs: str, fits: Fits) -> bool:
    return ours[0].rpartition(".")[2] == theirs.rpartition(".")[2] and fits(theirs, tuple(ours[1].shape))


def _names(missing: Sequence[str], extra: Sequence[str]) -> str:
    parts = [f"the file lacks {_few(missing)}"] * bool(missing) + [f"has {_few(extra)} besides"] * bool(extra)
    return " and ".join(parts)


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    rest = len(listed) - SHOWN
    return ", ".join(listed[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
