"""What the cells of a search may come to match, long before there are all: key by key, by the values that are named."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.config.declaration import Declaration
from benchmark.config.layer import MAPPINGS, Layer, complete, lookup
from benchmark.config.pattern import Pattern
from benchmark.config.problems import Problems


def check_patterns(declaration: Declaration, problems: Problems) -> None:
    """Adds a problem for each pattern with a key none of whose values anything in the file gives."""
    named = (
        *((each.when, "no cell can have a model of this name") for each in declaration.models),
        *((each, "this exclude can match no cell") for each in declaration.excludes),
        *((each.when, "this override can match no cell") for each in declaration.overrides),
    )
    layers = list(_layers(declaration))
    unknown = {axis.name for matrix in declaration.matrices for axis in matrix.axes if axis.spread} | {*MAPPINGS}
    given: dict[str, list[Layer]] = {}
    for pattern, words in named:
        for key in pattern.alternatives.keys() - unknown:
            if key not in given:
                given[key] = list({repr(lookup(layer, key)): layer for layer in layers}.values())
            alone = Pattern({key: pattern.alternatives[key]}, pattern.mark)
            if not any(alone.matches(layer) for layer in given[key]):
                problems.add(pattern.mark, words)
                break


def _layers(declaration: Declaration) -> Iterator[Layer]:
    """Everything that gives a key a value, recipes and data among it, and the built-in ones."""
    rows = (row for matrix in declaration.matrices for axis in matrix.axes for row in axis.rows)
    others = (each.layer for each in (*declaration.models, *declaration.overrides))
    yield from map(complete, ({}, declaration.defaults, *declaration.includes, *others, *rows))
