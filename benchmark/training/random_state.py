"""The state of every global random generator, as values that a checkpoint can hold.

The order of images and their augmentation have generators of their own (:mod:`benchmark.training.data`); these are for
dropout and whatever else a network or an optimizer draws.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch


def current(device: torch.device) -> dict[str, Any]:
    """What :func:`restore` takes: tensors, tuples and plain numbers."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": (version, torch.tensor(words), gauss),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "device": _device_state(device),
    }


def restore(state: Mapping[str, Any], device: torch.device) -> None:
    """Sets every generator to ``state``, which was taken on a device of the same type."""
    version, words, gauss = state["python"]
    name, keys, *rest = state["numpy"]
    random.setstate((version, tuple(words.tolist()), gauss))
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["device"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(state["device"])


def packed(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The states of one process, or of several that train together, in the order of their ranks."""
    return dict(states[0]) if len(states) == 1 else {"ranks": list(states)}


def unpacked(state: Mapping[str, Any], rank: int) -> Mapping[str, Any]:
    """That of one process."""
    found: Mapping[str, Any] = state["ranks"][rank] if "ranks" in state else state
    return found


def _device_state(device: torch.device) -> torch.Tensor | None:
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else None
