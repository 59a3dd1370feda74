"""Which parameters learn, and how fast: groups for an optimizer.

A group's ``lr_scale`` is its share of the run's learning rate, whatever the schedule makes of that: timm's schedules
multiply with it, and torch's one-cycle is given a peak for each group.  So a cosine's ``min_lr`` and every warm-up are
scaled, too.

Layers are timm's (a model's ``group_matcher``), and where it knows none, as in timm, every twelve tensors.  The
classifier is the top; each layer below it learns ``layer_decay`` times as fast as the one above (Clark et al. 2020,
arXiv:2003.10555, section 3.3; Bao et al. 2022, arXiv:2106.08254).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping
from typing import Any

from timm.models import group_parameters
from torch import nn

from benchmark.run import Run
from benchmark.training.heads import in_head

PER_LAYER = 12
Group = dict[str, Any]


def parameter_groups(run: Run, model: nn.Module) -> list[Group] | None:
    """The groups of parameters that ``run`` wants; ``None`` where all learn alike.

    Weight decay leaves out what timm leaves out: vectors, biases, and what the model names itself.
    """
    alone = run.freeze == "backbone" and run.unfreeze_epoch is None
    if run.layer_decay is None and run.head_lr is None and not alone:
        return None
    head, scales, spared = in_head(model), layer_scales(model, run.layer_decay or 1.0), _spared(model)
    groups: dict[tuple[float, float], Group] = {}
    for name, parameter in model.named_parameters():
        if alone and name not in head:
            continue
        scale = run.head_lr / run.lr if run.head_lr and name in head else scales[name]
        plain = parameter.ndim <= 1 or name.endswith(".bias") or _matches(name, spared)
        decay = 0.0 if plain else run.weight_decay
        group = groups.setdefault((scale, decay), {"params": [], "weight_decay": decay, "lr_scale": scale})
        group["params"].append(parameter)
    return list(groups.values())


def layer_scales(model: nn.Module, decay: float) -> dict[str, float]:
    """The share of the learning rate of each parameter: 1 for those of the topmost layer."""
    layers = _layers(model)
    top = max(layers.values(), default=0)
    return {name: decay ** (top - layer) for name, layer in layers.items()}


def peak_rates(run: Run, groups: Collection[Mapping[str, Any]]) -> list[float]:
    """The learning rate of each group when the run's is at its peak."""
    return [run.lr * group.get("lr_scale", 1.0) for group in groups]


def _layers(model: nn.Module) -> dict[str, int]:
    matcher = getattr(model, "group_matcher", None)
    if matcher is not None:
        known: dict[str, int] = group_parameters(model, matcher(coarse=False), reverse=True)
        top = max(known.values(), default=0)
        return {name: known.get(name, top) for name, _ in model.named_parameters()}
    head = in_head(model)
    trunk = [name for name, _ in model.named_parameters() if name not in head]
    layers = {name: number // PER_LAYER for number, name in enumerate(trunk)}
    return layers | {name: -(-len(trunk) // PER_LAYER) for name, _ in model.named_parameters() if name in head}


def _spared(model: nn.Module) -> Collection[str]:
    told = getattr(model, "no_weight_decay", None)
    return set(told()) if told else ()


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
