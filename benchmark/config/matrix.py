"""A declaration -> cells -> runs; pure.

The cells of a matrix are the product of its axes, or are drawn from it; several matrices are united and equal cells
count once.  ``exclude`` takes cells of the matrices away, ``include`` adds cells (crossed with the ``seed`` and
``data`` axes unless it names them).  A key's value is that of the last which names it: built-in, the data's mapping,
``defaults``, ``models`` (in their order), matrix cell or include, ``overrides`` (in their order; ``when`` sees the cell
as it was before any of them), ``--set``.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from benchmark.config.axes import CROSSED, Axis
from benchmark.config.data_keys import identity
from benchmark.config.declaration import Declaration, Matrix, Override
from benchmark.config.experiment import Cell
from benchmark.config.keys import Given, size
from benchmark.config.layer import MAPPINGS, Layer, complete, merge, run_of
from benchmark.config.pattern import Pattern
from benchmark.config.possible import check_patterns
from benchmark.config.problems import Mark, Problems
from benchmark.config.resolve import resolve
from benchmark.config.sampling import Shares
from benchmark.config.tuning import check_keys
from benchmark.run import Run, canonical_json

__all__ = ["MAX_CELLS", "expand", "resolve"]

MAX_CELLS = 20_000
MAX_WORK = 500_000
"""Values that cells are compared with or take over, of all cells together."""
_MUTABLE = ("model_args", "optimizer_args", "mean", "std")
_UNHASHABLE = operator.attrgetter(*_MUTABLE)
_PLAIN = operator.attrgetter(*(each.name for each in fields(Run) if each.name not in _MUTABLE))


@dataclass(frozen=True)
class _Draft:
    """A cell in the making: its own keys, and the layer of all keys given so far."""

    own: Layer
    layer: Layer
    trial: Shares | None = None


def expand(declaration: Declaration, problems: Problems) -> tuple[Cell, ...]:
    """The cells in the order of the text, matrices first; what is wrong with them is added to ``problems``."""
    if _too_many(declaration, problems):
        return ()
    drafts = _once([*_matrix_drafts(declaration, problems), *_include_drafts(declaration)])
    unmatched = Problems() if declaration.searched else problems
    if declaration.searched:
        check_patterns(declaration, problems)
    _check_models_match(declaration.models, drafts, unmatched)
    if not drafts:
        problems.add(declaration.mark, "no cell is left: everything is excluded")
    drafts = _overridden(drafts, declaration.overrides, unmatched)
    cells = tuple(_cell(each, declaration.settings) for each in drafts)
    _check_models(cells, declaration.mark, problems)
    if declaration.searched:
        cells = _first_of_equal(cells)
    _check_equal(cells, declaration, problems)
    _check_warmup(cells, problems)
    check_keys(cells, problems)
    return cells


def _too_many(declaration: Declaration, problems: Problems) -> bool:
    count = sum(_size(each) for each in declaration.matrices)
    count += len(declaration.includes) * math.prod(len(_crossed(declaration, key)) or 1 for key in CROSSED)
    weight = _weight(declaration)
    if count > MAX_CELLS:
        problems.add(declaration.mark, f"{count:,} cells are too many; at most {MAX_CELLS:,} fit one experiment")
    elif count * weight > MAX_WORK:
        each = f"{count:,} cells, and {weight:,} values that each of them is compared with or takes over"
        problems.add(declaration.mark, f"{each}, are too many for one experiment; write fewer, or several files")
    return count > MAX_CELLS or count * weight > MAX_WORK


def _weight(declaration: Declaration) -> int:
    """How many values each cell is compared with or takes over; those of the largest row of each axis."""
    conditional = (*declaration.models, *declaration.overrides)
    patterns = (*declaration.excludes, *(each.when for each in conditional))
    layers = (declaration.defaults, declaration.settings, *(each.layer for each in conditional))
    rows = (sum(max(map(_values, axis.rows), default=1) for axis in each.axes) for each in declaration.matrices)
    compared = sum(size(each) for pattern in patterns for each in pattern.alternatives.values())
    return compared + sum(map(_values, layers)) + max((*rows, *map(_values, declaration.includes)), default=0)


def _values(layer: Layer) -> int:
    return sum(size(each.value) for each in layer.values())


def _size(matrix: Matrix) -> int:
    if not matrix.sampling:
        return math.prod(len(axis.rows) for axis in matrix.axes)
    samples = matrix.sampling.samples + len(matrix.sampling.chosen)
    return samples * math.prod(len(axis.rows) for axis in matrix.crossed)


def _matrix_drafts(declaration: Declaration, problems: Problems) -> Iterator[_Draft]:
    matrices = declaration.matrices or ((Matrix(()),) if not declaration.includes else ())
    drafts = [_draft(own, declaration, trial) for each in matrices for trial, own in _owns(each, problems)]
    whole = [complete(each.layer) for each in drafts] if declaration.excludes else []
    hit = [_matching(each, whole) for each in declaration.excludes]
    for pattern, matched in zip(declaration.excludes, hit, strict=True):
        if not matched and not declaration.searched:
            problems.add(pattern.mark, "this exclude matches no cell of the matrix")
    gone = set().union(*hit)
    return (draft for index, draft in enumerate(drafts) if index not in gone)


def _draft(own: Layer, declaration: Declaration, trial: Shares | None = None) -> _Draft:
    """A cell above the defaults, and those of its model."""
    below, plain = declaration.defaults, merge(declaration.defaults, own)
    for each in declaration.models:
        if each.when.matches(plain):
            below = merge(below, each.layer)
    return _Draft(own, merge(below, own), trial)


def _owns(matrix: Matrix, problems: Problems) -> Iterator[tuple[Shares | None, Layer]]:
    """The keys that the cells of a matrix name, and of which sample they are."""
    if (space := matrix.space) is None:
        yield from ((None, own) for own in _product(matrix.axes))
        return
    samples, wanted = list(space.drawn()), space.sampling.samples
    if len(samples) < wanted:
        few = f"only {len(samples)} different configurations can be drawn from these axes"
        problems.add(space.sampling.mark, f"{few}; ask for so many, or give more values")
    for shares, rows in samples:
        for row in _product(matrix.crossed):
            yield shares, {**{key: given for each in rows for key, given in each.items()}, **row}


def _product(axes: Sequence[Axis]) -> Iterator[Layer]:
    for rows in itertools.product(*(axis.rows for axis in axes)):
        yield {key: given for row in rows for key, given in row.items()}


def _matching(pattern: Pattern, layers: Iterable[Layer]) -> set[int]:
    return {index for index, each in enumerate(layers) if pattern.matches(each)}


def _include_drafts(declaration: Declaration) -> Iterator[_Draft]:
    for layer in declaration.includes:
        axes = [Axis((key,), _crossed(declaration, key), declaration.mark) for key in CROSSED if key not in layer]
        for row in _product([axis for axis in axes if axis.rows]):
            yield _draft({**layer, **row}, declaration)


def _crossed(declaration: Declaration, key: str) -> tuple[Layer, ...]:
    """The different values of a key over all matrices, in order."""
    axes = [axis for matrix in declaration.matrices for axis in matrix.axes if key in axis.keys]
    rows = [row for axis in axes for row in axis.rows]
    first: dict[object, Given] = {}
    for row in rows:
        first.setdefault(identity(row[key].value), row[key])
    return tuple({key: given} for given in first.values())


def _once(drafts: Iterable[_Draft]) -> list[_Draft]:
    """The first of each set of equal cells."""
    first: dict[tuple[Any, ...], _Draft] = {}
    for draft in drafts:
        first.setdefault(_signature(run_of(complete(draft.layer))), draft)
    return list(first.values())


def _signature(run: Run) -> tuple[Any, ...]:
    """Equal for runs with equal keys; cheaper than an identity, and apart for two data sets not yet read."""
    return (*_PLAIN(run), *(canonical_json(each) if each else str(each) for each in _UNHASHABLE(run)))


def _overridden(drafts: list[_Draft], overrides: Sequence[Override], problems: Problems) -> list[_Draft]:
    layers = [each.layer for each in drafts]
    whole = [complete(each) for each in layers] if overrides else []
    for override in overrides:
        matched = _matching(override.when, whole)
        if not matched:
            problems.add(override.when.mark, "this override matches no cell")
        for index in matched:
            layers[index] = merge(layers[index], override.layer)
    return [replace(draft, layer=layer) for draft, layer in zip(drafts, layers, strict=True)]


def _cell(draft: _Draft, settings: Layer) -> Cell:
    layer = complete(merge(draft.layer, settings))
    origin = {key: each.mark for key, each in layer.items()}
    for key in MAPPINGS:
        origin |= {f"{key}.{name}": mark for name, mark in layer[key].inner.items()} if key in layer else {}
    choice = {key: str(each.value) if key == "data" else each.value for key, each in draft.own.items()}
    return Cell(run_of(layer), origin, choice, draft.trial)


def _check_models_match(models: Sequence[Override], drafts: Sequence[_Draft], problems: Problems) -> None:
    for each in models:
        if not any(each.when.matches(draft.layer) for draft in drafts):
            problems.add(each.when.mark, "no cell has a model of this name")


def _check_models(cells: Iterable[Cell], mark: Mark, problems: Problems) -> None:
    if any(not cell.run.model for cell in cells):
        problems.add(mark, "a cell has no model; name one under defaults, matrix or include")


def _first_of_equal(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """What makes two trials equal, such as an override, makes one of them needless."""
    first: dict[tuple[Any, ...], Cell] = {}
    for cell in cells:
        first.setdefault(_signature(cell.run), cell)
    return tuple(first.values())


def _check_equal(cells: Iterable[Cell], declaration: Declaration, problems: Problems) -> None:
    layers = [*(override.layer for override in declaration.overrides), declaration.settings]
    if not any(layers):
        return  # nothing can have made them equal since they were made to differ
    changing = {given.mark for layer in layers for given in layer.values()}
    first: dict[tuple[Any, ...], Cell] = {}
    for cell in cells:
        other = first.setdefault(_signature(cell.run), cell)
        if other is not cell:
            mark = next(mark for each in (cell, other) for mark in each.origin.values() if mark in changing)
            problems.add(mark, f"this makes two cells equal: ({other.label}) and ({cell.label})")


def _check_warmup(cells: Iterable[Cell], problems: Problems) -> None:
    for cell in cells:
        if cell.run.warmup_epochs >= cell.run.epochs:
            mark = cell.origin["warmup_epochs"]  # by default there is no warm-up, so it was given
            problems.add(mark, f"warmup_epochs {cell.run.warmup_epochs:g} must be less than epochs {cell.run.epochs}")
