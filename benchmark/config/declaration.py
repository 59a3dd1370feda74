"""What a YAML file declares of its cells: defaults, models, matrices, exclude, include, overrides, --set, all valid.

Reading it finds what is wrong with each value; :mod:`benchmark.config.matrix` makes the cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmark.config import sampling
from benchmark.config.axes import CROSSED, Axis, text_of
from benchmark.config.document import Node
from benchmark.config.layer import Layer, RunReader
from benchmark.config.pattern import Pattern, read_model_pattern, read_pattern
from benchmark.config.problems import Mark, shown
from benchmark.config.sampling import Sampling, read_sampling
from benchmark.config.space import Space
from benchmark.config.spread import is_spread, nodes, read_spread

PARTS = ("data", "defaults", "models", "matrix", "exclude", "include", "overrides")


@dataclass(frozen=True)
class Matrix:
    """Axes, whose cells are their whole product or, with ``sampling``, so many drawn from it."""

    axes: tuple[Axis, ...]
    sampling: Sampling | None = None

    @property
    def crossed(self) -> list[Axis]:
        """The axes with which samples are crossed."""
        return [axis for axis in self.axes if axis.crossed]

    @property
    def space(self) -> Space | None:
        """From which its samples come."""
        drawn = tuple(axis for axis in self.axes if not axis.crossed)
        return Space(drawn, self.sampling) if self.sampling else None


@dataclass(frozen=True)
class Override:
    """Keys that are set in the cells which ``when`` matches."""

    when: Pattern
    layer: Layer


@dataclass(frozen=True)
class Declaration:
    """``models`` are defaults of the models that a pattern matches; ``mark`` is where the matrix stands, ``searched``
    whether a search adds to its samples: then what fits none of them may fit a later one."""

    defaults: Layer
    models: tuple[Override, ...]
    matrices: tuple[Matrix, ...]
    excludes: tuple[Pattern, ...]
    includes: tuple[Layer, ...]
    overrides: tuple[Override, ...]
    settings: Layer
    mark: Mark
    searched: bool = False

    @property
    def space(self) -> Space | None:
        """From which a search chooses."""
        if not self.searched or not (space := self.matrices[0].space):
            return None
        layers = [text_of(self.defaults), text_of(self.settings)]
        layers += [f"{each.when.alternatives} {text_of(each.layer)}" for each in (*self.models, *self.overrides)]
        crossed = [axis.text for axis in self.matrices[0].crossed]
        return replace(space, context=repr((layers, crossed)))


def read(root: Node, settings: Layer, reader: RunReader, search: Sampling | None = None) -> Declaration:
    """The declaration of a file's root mapping, whose trials a ``search`` chooses; adds problems to the reader's."""
    matrix = root.get("matrix")
    if search and not (matrix and isinstance(matrix.value, dict)):
        reader.problems.add((matrix or root).mark, "a search chooses from one matrix: give the mapping of its axes")
    return Declaration(
        defaults=_defaults(root, reader),
        models=tuple(_models(root, reader)),
        matrices=tuple(_matrix(each, reader, search) for each in _matrices(matrix)) if matrix else (),
        excludes=tuple(each for node in _list(root, "exclude", reader) if (each := read_pattern(node, reader))),
        includes=tuple(reader.layer(node) for node in _list(root, "include", reader)),
        overrides=tuple(set_ for node in _list(root, "overrides", reader) if (set_ := _override(node, reader))),
        settings=settings,
        mark=matrix.mark if matrix else root.mark,
        searched=search is not None and matrix is not None,
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


def _models(root: Node, reader: RunReader) -> Iterator[Override]:
    node = root.get("models")
    if node is None:
        return
    if not isinstance(node.value, dict):
        reader.problems.add(node.mark, "models must be a mapping: {'vit_*': {lr: 1e-4}}")
        return
    for name, child in node.items():
        if child.get("model"):
            reader.problems.add(child.key_mark("model"), f"these are the defaults of {name}; leave model out")
        pattern, layer = read_model_pattern(name, node.key_mark(name), reader), reader.layer(child)
        if pattern:
            yield Override(pattern, layer)


def _matrix(node: Node, reader: RunReader, search: Sampling | None) -> Matrix:
    """One matrix, its axes in the order of the text."""
    if not isinstance(node.value, dict) or not node.value:
        reader.problems.add(node.mark, f"a matrix must be a mapping of keys to lists, not {shown(node.value)}")
        return Matrix(())
    random = node.get(sampling.KEY)
    drawn = read_sampling(random, reader.problems) if random else search
    if search and random:
        reader.problems.add(random.mark, "the search draws its trials itself: leave random out")
    return Matrix(tuple(_axes(node, reader, sampled=drawn is not None or random is not None)), drawn)


def _axes(node: Node, reader: RunReader, *, sampled: bool) -> Iterator[Axis]:
    seen: set[str] = set()
    for text, child in node.items():
        if text == sampling.KEY:
            continue
        keys = tuple(each.strip() for each in text.split(","))
        for key in sorted(seen.intersection(keys)) or [key for key in set(keys) if keys.count(key) > 1]:
            reader.problems.add(node.key_mark(text), f"{key} is in this matrix twice")
        seen.update(keys)
        yield _axis(keys, child, node.key_mark(text), reader, sampled=sampled)


def _axis(keys: tuple[str, ...], node: Node, at: Mark, reader: RunReader, *, sampled: bool) -> Axis:
    """An axis of a list, of a scalar (a list of one), or of a range."""
    if len(keys) > 1 or not is_spread(node):
        return Axis(keys, tuple(_rows(keys, _elements(keys, node, reader), at, reader)), node.mark)
    found = read_spread(keys[0], node, reader)
    if found is None:
        return Axis(keys, (), node.mark)
    spread, count = found
    if count is None and sampled and keys[0] not in CROSSED:
        ends = nodes([spread.at(0), spread.at(1)], node)
        list(_rows(keys, ends, at, reader))  # both ends must be values that the key can have
        return Axis(keys, (), node.mark, spread)
    if count is None:
        reader.problems.add(node.mark, "say how many values: n: 4; without n a range is for random, or a search")
        return Axis(keys, (), node.mark)
    values = spread.values(count)
    if len(set(values)) < count:
        reader.problems.add(node.mark, f"this range has {len(set(values))} different values only; set a smaller n")
        return Axis(keys, (), node.mark)
    return Axis(keys, tuple(_rows(keys, nodes(values, node), at, reader)), node.mark)


def _rows(keys: tuple[str, ...], elements: Sequence[Node], at: Mark, reader: RunReader) -> Iterator[Layer]:
    """A row for each different value."""
    found: dict[str, int | None] = {}
    for element in elements:
        row = _row(keys, element, at, reader)
        text = text_of(row)
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


def _override(node: Node, reader: RunReader) -> Override | None:
    when, values = node.get("when"), node.get("set")
    if when is None or values is None or len(node.value) != 2:
        reader.problems.add(node.mark, "an override is {when: {key: value}, set: {key: value}}, with these two keys")
        return None
    pattern, layer = read_pattern(when, reader), reader.layer(values)
    return Override(pattern, layer) if pattern else None
