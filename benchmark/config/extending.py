"""``extends: base.yaml``: a file that begins where another one ends.

``defaults``, ``models``, ``launch``, ``tracking``, ``report`` and ``search`` are those of the base, key by key replaced
by the file's own; ``data``, ``matrix``, ``exclude``, ``include`` and ``overrides`` are the file's own where it has
them, else the base's.  Name and description are always the file's own.  The base may itself extend another; every error
names the file in which the value stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmark.config.document import Document, KeyPath, Node
from benchmark.config.paths import under
from benchmark.config.problems import ConfigError, Mark, shown

KEY = "extends"
MERGED = ("defaults", "models", "launch", "tracking", "report", "search")
OWN = ("name", "description")
MAX_DEPTH = 8

Read = Callable[[Path, Mark], Document]
"""Reads a file that is asked for at a place."""


def extended(document: Document, read: Read, above: tuple[Path, ...] = ()) -> Document:
    """The document with what it extends; ``above`` are the files that extend this one.

    Raises:
        ConfigError: a base cannot be read, is no mapping, or extends itself.
    """
    node = document.root.get(KEY)
    if node is None:
        return document
    here = Path(document.path).absolute()
    base = extended(read(_path(node, here, above), node.mark), read, (*above, here))
    if not isinstance(base.value, dict):
        raise ConfigError([base.root.mark.problem("an experiment is a mapping; begin with name, data and matrix")])
    return _merged(base, document)


def _path(node: Node, here: Path, above: tuple[Path, ...]) -> Path:
    if not isinstance(node.value, str) or not node.value:
        raise ConfigError([node.mark.problem(f"extends must be the path of a YAML file, not {shown(node.value)}")])
    path = under(here.parent, node.value)
    if _is_any(path, (here, *above), node.mark):
        raise ConfigError([node.mark.problem(f"{node.value} extends itself")])
    if len(above) >= MAX_DEPTH:
        raise ConfigError([node.mark.problem(f"more than {MAX_DEPTH} files extend one another")])
    if path.exists() and not path.is_file():
        raise ConfigError([node.mark.problem(f"{node.value} is not a file")])
    return path


def _is_any(path: Path, others: tuple[Path, ...], mark: Mark) -> bool:
    """
    Raises:
        ConfigError: no path can be like this.
    """
    try:
        return path.exists() and any(path.resolve() == each.resolve() for each in others)
    except OSError as error:  # a name that is too long
        raise ConfigError([mark.problem(f"{shown(str(path))} cannot be read: {error.strerror}")]) from None


def _merged(base: Document, own: Document) -> Document:
    """Values with the places of the file that each comes from."""
    value: dict[str, Any] = {key: each for key, each in base.value.items() if key not in OWN}
    source: dict[KeyPath, Document] = {(): own, **{(key,): base for key in value}}
    for key, each in own.value.items():
        if key in MERGED and isinstance(each, dict) and isinstance(value.get(key), dict):
            value[key] = {**value[key], **each}
            source |= {(key, name): own for name in each}
        elif key != KEY:
            value[key] = each
            source[key,] = own
    marks = {path: mark for each in (base, own) for path, mark in each.marks.items() if _of(path, source) is each}
    keys = {path: mark for each in (base, own) for path, mark in each.keys.items() if _of(path, source) is each}
    return Document(own.path, value, marks, keys)


def _of(path: KeyPath, source: Mapping[KeyPath, Document]) -> Document:
    """Where the value at ``path`` comes from: as the longest beginning of it that is known."""
    return next(source[path[:size]] for size in (2, 1, 0) if len(path) >= size and path[:size] in source)
