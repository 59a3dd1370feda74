"""What a YAML file declares of its cells: defaults, matrices, exclude, include, overrides, --set, all values valid.

Reading it finds what is wrong with each value; :mod:`benchmark.config.matrix` makes the cells.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmark.config.data_keys import identity
from benchmark.config.document import Node
from benchmark.config.layer import Layer, RunReader
from benchmark.config.pattern import Pattern, read_pattern
from benchmark.config.problems import Mark, shown

PARTS = ("data", "defaults", "matrix", "exclude", "include", "overrides")


@dataclass(frozen=True)
class Axis:
    """Keys that vary together: each row has a value for every key."""

    keys: tuple[str, ...]
    rows: tuple[Layer, ...]


@dataclass(frozen=True)
class Override:
    """Keys that are set in the cells which ``when`` matches."""

    when: Pattern
    layer: Layer


@dataclass(frozen=True)
class Declaration:
    """``mark`` is where the matrix stands."""

    defaults: Layer
    matrices: tuple[tuple[Axis, ...], ...]
    excludes: tuple[Pattern, ...]
    includes: tuple[Layer, ...]
    overrides: tuple[Override, ...]
    settings: Layer
    mark: Mark


def read(root: Node, settings: Layer, reader: RunReader) -> Declaration:
    """The declaration of a file's root mapping; problems are added to the reader's."""
    matrix = root.get("matrix")
    return Declaration(
        defaults=_defaults(root, reader),
        matrices=tuple(_axes(each, reader) for each in _matrices(matrix)) if matrix else (),
        excludes=tuple(each for node in _list(root, "exclude", reader) if (each := read_pattern(node, reader))),
        includes=tuple(reader.layer(node) for node in _list(root, "include", reader)),
        overrides=tuple(set_ for node in _list(root, "overrides", reader) if (set_ := _override(node, reader))),
        settings=settings,
        mark=matrix.mark if matrix else root.mark,
    )


def _defaults(root: Node, reader: RunReader) -> Layer:
    node, data = root.get("defaults"), root.get("data")
    layer = dict(reader.layer(node)) if node else {}
    if data and node and node.get("data"):
        reader.problems.add(node.key_mark("data"), "data stand already at the top of the file; give them once")
    given = reader.value("data", data, data.mark) if data else None
    return {"data": given, **layer} if given else layer


def _list(root: Node, key: str, reader: RunReader) -> Iterator[Node]:
    node = root.get(key)
    if node is None:
        return
    if isinstance(node.value, list):
        yield from node.elements()
    else:
        reader.problems.add(node.mark, f"{key} must be a list of mappings ([{{…}}]), not {shown(node.value)}")


def _matrices(node: Node) -> Sequence[Node]:
    return list(node.elements()) if isinstance(node.value, list) and node.value else [node]


def _axes(node: Node, reader: RunReader) -> tuple[Axis, ...]:
    """The axes of one matrix, in the order of the text."""
    if not isinstance(node.value, dict) or not node.value:
        reader.problems.add(node.mark, f"a matrix must be a mapping of keys to lists, not {shown(node.value)}")
        return ()
    seen: set[str] = set()
    axes = []
    for text, child in node.items():
        keys = tuple(each.strip() for each in text.split(","))
        for key in sorted(seen.intersection(keys)) or [key for key in set(keys) if keys.count(key) > 1]:
            reader.problems.add(node.key_mark(text), f"{key} is in this matrix twice")
        seen.update(keys)
        axes.append(Axis(keys, tuple(_rows(keys, child, node.key_mark(text), reader))))
    return tuple(axes)


def _rows(keys: tuple[str, ...], node: Node, at: Mark, reader: RunReader) -> Iterator[Layer]:
    """A row for each different value; a scalar is a list of one."""
    found: dict[str, int | None] = {}
    for element in _elements(keys, node, reader):
        row = _row(keys, element, at, reader)
        text = _text(row)
        if row and text in found:
            reader.problems.add(
                element.mark, f"{shown(element.value)} stands twice; the first is in line {found[text]}"
            )
        elif row:
            found[text] = element.mark.line
            yield row


def _elements(keys: tuple[str, ...], node: Node, reader: RunReader) -> Sequence[Node]:
    name = ", ".join(keys)
    if isinstance(node.value, dict):
        reader.problems.add(node.mark, f"{name} in a matrix must be a list of mappings: write [{{…}}]")
        return []
    if not isinstance(node.value, list):
        return [node]
    if not node.value:
        reader.problems.add(node.mark, f"{name} has an empty list; give a value or leave the key out")
    return list(node.elements())


def _row(keys: tuple[str, ...], node: Node, at: Mark, reader: RunReader) -> Layer | None:
    """One key takes the value, several keys take a list of as many; ``None`` after a problem."""
    if len(keys) == 1:
        values = [node]
    elif isinstance(node.value, list) and len(node.value) == len(keys):
        values = list(node.elements())
    else:
        reader.problems.add(node.mark, f"each value here must be a list of {len(keys)}: [{', '.join(keys)}]")
        return None
    row = {key: reader.value(key, each, at) for key, each in zip(keys, values, strict=True)}
    valid = {key: each for key, each in row.items() if each is not None}
    return valid if len(valid) == len(row) else None


def _text(row: Layer | None) -> str:
    """Equal rows have equal text."""
    values = {key: identity(each.value) for key, each in (row or {}).items()}
    return json.dumps(values, sort_keys=True, default=repr)


def _override(node: Node, reader: RunReader) -> Override | None:
    when, values = node.get("when"), node.get("set")
    if when is None or values is None or len(node.value) != 2:
        reader.problems.add(node.mark, "an override is {when: {key: value}, set: {key: value}}, with these two keys")
        return None
    pattern, layer = read_pattern(when, reader), reader.layer(values)
    return Override(pattern, layer) if pattern else None
