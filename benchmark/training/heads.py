"""Where a network ends and its classifier begins."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn


def head_names(network: nn.Module) -> tuple[str, ...]:
    """The names of the modules that make logits of features: timm's own knowledge, else the last dense layer or
    convolution.  A network that is nothing but a dense layer is its own head, of the empty name."""
    told = getattr(network, "pretrained_cfg", None) or {}
    named = told.get("classifier") if isinstance(told, dict) else getattr(told, "classifier", None)
    names = (named,) if isinstance(named, str) else tuple(named or ())
    modules = dict(network.named_modules())
    known = tuple(name for name in names if name in modules and any(True for _ in modules[name].parameters()))
    return known or tuple(_last(network))


def head_modules(network: nn.Module) -> tuple[nn.Module, ...]:
    """The modules of :func:`head_names`."""
    return tuple(network.get_submodule(name) for name in head_names(network))


def in_head(network: nn.Module) -> frozenset[str]:
    """The names, in the network's ``state_dict``, of what belongs to its classifier."""
    prefixes = tuple(f"{name}." if name else "" for name in head_names(network))
    return frozenset(name for name in network.state_dict() if name.startswith(prefixes)) if prefixes else frozenset()


def _last(network: nn.Module) -> Iterator[str]:
    dense = [name for name, each in network.named_modules() if isinstance(each, nn.Linear | nn.Conv2d)]
    yield from dense[-1:]
