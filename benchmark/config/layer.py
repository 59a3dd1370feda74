"""A layer of run keys: what one part of the YAML (defaults, a cell, an override, --set) says of a run.

Later layers win key by key; mappings (``model_args``, ``optimizer_args``) are merged, at every depth, so that an
override of one argument keeps the others.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config import recipes
from benchmark.config.data_keys import DataChoice, absolute, read_data
from benchmark.config.document import Node
from benchmark.config.keys import Given, Keys, Rule, fields_of
from benchmark.config.problems import Mark, Problems, nearest, shown
from benchmark.run import RESOLVED, Run
from benchmark.weights import is_file

if TYPE_CHECKING:
    from benchmark.catalogue import Names

Layer = Mapping[str, Given]
MAPPINGS = ("model_args", "optimizer_args")
"""Keys whose values are merged rather than replaced."""

GLOB = re.compile(r"[*?\[]")
_LIST_MODELS = "; `python -m benchmark models` lists them"
_DEFAULT_DATA = DataChoice()
_BUILT_IN = Run(data=_DEFAULT_DATA.spec, model="")


@dataclass(frozen=True)
class RunReader:
    """Reads run keys.  ``base`` is the directory to which paths are relative; ``None``: that of the value's file."""

    keys: Keys
    base: Path | None
    problems: Problems

    def directory(self, node: Node) -> Path:
        """To which the paths in a value are relative."""
        return self.base or Path(node.mark.path).absolute().parent

    def layer(self, node: Node) -> Layer:
        """The valid keys of a mapping; the others become problems."""
        found = self.keys.read(node, self.problems, apart=("data",))
        layer = {key: self._placed(key, each, node) for key, each in found.items()}
        data = node.get("data")
        choice = read_data(data, self.directory(data), self.problems) if data else None
        return {**layer, "data": choice} if choice else layer

    def value(self, key: str, node: Node, at: Mark) -> Given | None:
        """One key's valid value, or ``None`` after adding a problem; ``at`` is the place of the key."""
        if key == "data":
            return read_data(node, self.directory(node), self.problems)
        given = self.keys.value(key, node, at, self.problems, apart=("data",))
        return given and self._placed(key, given, node)

    def _placed(self, key: str, given: Given, node: Node) -> Given:
        """A value with its path made absolute, where it is the path of a recipe or of a file of weights."""
        if key == "recipe":
            return self._recipe(given, node)
        if key != "pretrained" or not isinstance(given.value, str) or not is_file(given.value):
            return given
        return Given(absolute(given.value, self.directory(node)), given.mark)

    def _recipe(self, given: Given, node: Node) -> Given:
        """An empty name where it cannot be used."""
        value = recipes.located(given.value, self.directory(node))
        wrong = recipes.wrong(value) if value else None
        if isinstance(wrong, str):
            self.problems.add(given.mark, wrong)
        elif wrong:
            self.problems.extend(wrong)
        return Given("" if wrong else value, given.mark)


def run_reader(known: Names | None, problems: Problems, base: Path | None = None) -> RunReader:
    """A reader that refuses models and optimizers which are not ``known`` (``None``: any name will do)."""
    keys = _run_keys()
    rules = {
        "model": _model_rule(known.models if known else None),
        "optimizer": _optimizer_rule(known.optimizers if known else None),
    }
    return RunReader(Keys(keys.model, keys.fields, rules), base, problems)


@cache
def _run_keys() -> Keys:
    own = [each.name for each in fields(Run) if each.name not in {"data", *RESOLVED}]
    return Keys.of("RunKeys", fields_of(Run, *own))


def _model_rule(known: frozenset[str] | None) -> Rule:
    def wrong(name: str) -> str | None:
        if GLOB.search(name):
            return f"{shown(name)} is a pattern; patterns may stand in exclude and in an override's when only"
        plain = name.removeprefix("torchvision/").removeprefix("timm/")
        untagged = plain.partition(".")[0]  # which tags of weights there are, timm knows
        if not name or (known is not None and known.isdisjoint({name, plain, untagged})):
            return f"unknown model {shown(name)}{nearest(name, known or ()) or _LIST_MODELS}"
        return None

    return wrong


def _optimizer_rule(known: Collection[str] | None) -> Rule:
    def wrong(name: str) -> str | None:
        if known is None or name.lower() in known:
            return None
        return f"unknown optimizer {shown(name)}{nearest(name, known) or '; it is a name of timm.optim, such as adamw'}"

    return wrong


def merge(below: Layer, above: Layer) -> dict[str, Given]:
    """The two layers as one; ``above`` wins."""
    merged = {**below, **above}
    for key in MAPPINGS:
        if key in below and key in above:
            inner = {**below[key].inner, **above[key].inner}
            merged[key] = Given(_deep(below[key].value, above[key].value), above[key].mark, inner)
    return merged


def _deep(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{key: _deep(below.get(key), value) for key, value in above.items()}}


def complete(layer: Layer) -> Layer:
    """The layer above what its data set's mapping says of the run, and that above its recipe."""
    data, recipe = layer.get("data"), layer.get("recipe")
    if data and data.value.keys:
        layer = {**data.value.keys, **layer}
    return merge(recipes.read(recipe.value).keys, layer) if recipe and recipe.value else layer


def lookup(layer: Layer, key: str) -> Any:
    """A key's value in a complete layer, or its built-in default; for ``data`` a :class:`DataSpec`."""
    if key == "data":
        return layer["data"].value.spec if "data" in layer else _BUILT_IN.data
    return layer[key].value if key in layer else getattr(_BUILT_IN, key)


def run_of(layer: Layer) -> Run:
    """The run of a complete layer; a missing model is an empty name."""
    given = {key: each.value for key, each in layer.items() if key not in {"data", "model"}}
    if given.get("recipe"):
        given["recipe"] = recipes.read(given["recipe"]).name
    return Run(data=lookup(layer, "data"), model=lookup(layer, "model"), **given)
