"""Hyperparameters in reports: which of them vary, how a configuration is called, how a value is written."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

from benchmark.run import Run, Value

Settings = Mapping[str, Value]
MAIN = ("epochs", "batch_size", "optimizer", "lr", "weight_decay", "schedule", "augment", "image_size")
"""Keys that a caption names even at their defaults."""
FOLLOWING = ("mean", "std", "interpolation", "crop_pct")
"""Keys that a pretrained model decides where the YAML does not."""
DECIDING = ("model", "pretrained", "normalize", "resize", "image_size", "channels")
ABSENT = "–"


def varying_keys(configurations: Sequence[Settings]) -> tuple[str, ...]:
    """The keys, but ``model``, that do not have the same value in all configurations of the same recipe, and the recipe
    where there are several; a key that a configuration does not have at all (``model_args.depth``) varies too.  Of
    those that a pretrained model decides, the ones that say more than its name and its weights."""
    names = dict.fromkeys(key for each in configurations for key in each if key != "model")
    recipes: dict[Value, list[Settings]] = {}
    for each in configurations:
        recipes.setdefault(each.get("recipe"), []).append(each)
    groups = list(recipes.values())
    several = (key for key in names if any(not _is_fixed(key, group) for group in groups))
    told = {key for key in several if key not in FOLLOWING or not _follows(key, configurations)}
    told |= {"recipe"} if len(groups) > 1 else set()
    return tuple(key for key in names if key in told)


def common(configurations: Sequence[Settings]) -> dict[str, Value]:
    """The keys, but ``model``, that have the same value in all configurations, and that value."""
    first = next(iter(configurations))
    return {key: value for key, value in first.items() if key != "model" and _is_fixed(key, configurations)}


def labels(configurations: Mapping[str, Settings]) -> dict[str, str]:
    """Configuration id -> a short name, unique among them: the model, and what tells its configurations apart."""
    models: dict[str, dict[str, Settings]] = {}
    for key, each in configurations.items():
        models.setdefault(str(each["model"]), {})[key] = each
    named: dict[str, str] = {}
    for model, same in models.items():
        varying = varying_keys(list(same.values()))
        named |= {key: _label(model, each, varying) for key, each in same.items()}
    count = Counter(named.values())
    return {key: name if count[name] == 1 else f"{name} ({key[:6]})" for key, name in named.items()}


def caption(fixed: Settings) -> tuple[str, ...]:
    """What holds for every row, as ``key value``: the main keys, and those that are not at their defaults."""
    usual = {each.name: each.default for each in dataclasses.fields(Run)}
    return tuple(
        setting(key, value) for key, value in fixed.items() if key in MAIN or usual.get(key, _NOTHING) != value
    )


def setting(key: str, value: Value) -> str:
    return f"{key} {write(value)}"


def write(value: Value) -> str:
    """``1e-3`` for 0.001, ``none``, ``true``; other values as they are."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _float(value)
    return str(value)


_NOTHING = object()


def _float(value: float) -> str:
    text = f"{value:g}"
    if 0 < abs(value) < 0.01:
        mantissa, exponent = f"{value:.5e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return text


def _is_fixed(key: str, configurations: Sequence[Settings]) -> bool:
    return len({_comparable(each, key) for each in configurations}) == 1


def _comparable(settings: Settings, key: str) -> tuple[str, Value]:
    """A value as it is compared: absent is not ``None``, and true is not 1."""
    return (type(settings[key]).__name__, settings[key]) if key in settings else ("absent", None)


def _follows(key: str, configurations: Sequence[Settings]) -> bool:
    """Whether equal models and weights always have equal values of ``key``."""
    deciding = {tuple(_comparable(each, name) for name in DECIDING) for each in configurations}
    pairs = {(*(_comparable(each, name) for name in DECIDING), _comparable(each, key)) for each in configurations}
    return len(deciding) == len(pairs)


def _label(model: str, settings: Settings, varying: Sequence[str]) -> str:
    return ", ".join([model, *(setting(key, settings[key]) for key in varying if key in settings)])
