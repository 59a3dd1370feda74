"""Recipes: named sets of a run's keys, below every key that the experiment gives itself.

A recipe is a YAML file with a ``description``, a ``source`` (where its values come from) and the keys to ``set``.
Those in ``benchmark/shipped/recipes`` are known by their names; any other is named by its path, which ends in
``.yaml``.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from benchmark.config import yaml_text
from benchmark.config.document import Node
from benchmark.config.keys import Given, Keys, fields_of
from benchmark.config.paths import under
from benchmark.config.problems import ConfigError, Problem, Problems, choose, shown
from benchmark.run import RESOLVED, Run

SHIPPED = Path(__file__).parent.parent / "shipped" / "recipes"
APART = frozenset({"data", "model", "seed", "recipe", *RESOLVED})
"""Keys of a run that are no part of a recipe."""
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Recipe:
    """One file, read and checked; ``keys`` are the run's."""

    name: str
    description: str
    source: str
    keys: Mapping[str, Given]


def names() -> tuple[str, ...]:
    """The recipes that come with the package."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def located(value: str, directory: Path) -> str:
    """A recipe's name, or the absolute path of its file; a relative one is relative to ``directory``."""
    return str(under(directory, value)) if value.endswith(_SUFFIXES) else value


def wrong(value: str) -> list[Problem] | str | None:
    """What is wrong with a recipe that :func:`located` names: problems of its file, or words for where it is named."""
    if not value.endswith(_SUFFIXES) and value not in names():
        return f"unknown recipe {shown(value)}{choose(value, names())}; a file of your own is named by its path, *.yaml"
    try:
        read(value)
    except ConfigError as error:
        return list(error.problems)
    except OSError as error:
        return f"recipe {value} cannot be read: {error.strerror}"
    return None


@cache
def read(value: str) -> Recipe:
    """The recipe that :func:`located` names.

    Raises:
        ConfigError: everything that is wrong with the file.
        OSError: it cannot be read.
    """
    path = Path(value) if value.endswith(_SUFFIXES) else SHIPPED / f"{value}.yaml"
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a file", str(path))  # a pipe would be waited for
    with path.open("rb") as file:
        root = yaml_text.parse(file.read(yaml_text.MAX_BYTES + 1), str(path)).root
    problems = Problems()
    recipe = Recipe(path.stem, _text(root, "description", problems), _text(root, "source", problems), {})
    keys = _keys().read(root.get("set") or root, problems) if _is_recipe(root, problems) else {}
    problems.check()
    return Recipe(recipe.name, recipe.description, recipe.source, keys)


def _is_recipe(root: Node, problems: Problems) -> bool:
    if not isinstance(root.value, dict) or "set" not in root.value:
        problems.add(root.mark, "a recipe is a mapping of description, source and set")
        return False
    for key in root.value:
        if key not in ("description", "source", "set"):
            problems.add(root.key_mark(key), f"unknown key {shown(key)}{choose(key, ('description', 'source', 'set'))}")
    return True


def _text(root: Node, key: str, problems: Problems) -> str:
    node = root.get(key)
    if node is None:
        return ""
    if not isinstance(node.value, str):
        problems.add(node.mark, f"{key} must be text, not {shown(node.value)}")
    return str(node.value)


@cache
def _keys() -> Keys:
    return Keys.of("RecipeKeys", fields_of(Run, *(each.name for each in fields(Run) if each.name not in APART)))
