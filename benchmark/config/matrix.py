"""A declaration -> cells -> runs; pure.

The cells of a matrix are the product of its axes, several matrices are united and equal cells count once.  ``exclude``
takes cells of the matrices away, ``include`` adds cells (crossed with the ``seed`` and ``data`` axes unless it names
them).  A key's value is that of the last which names it: built-in, the data's mapping, ``defaults``, matrix cell or
include, ``overrides`` (in their order; ``when`` sees the cell as it was before any of them), ``--set``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from benchmark.config.data_keys import identity
from benchmark.config.declaration import Axis, Declaration, Override
from benchmark.config.experiment import Cell
from benchmark.config.keys import Given
from benchmark.config.layer import Layer, complete, merge, run_of
from benchmark.config.pattern import Pattern
from benchmark.config.problems import Mark, Problems
from benchmark.config.resolve import resolve
from benchmark.run import Run, canonical_json

__all__ = ["MAX_CELLS", "expand", "resolve"]

MAX_CELLS = 100_000
CROSSED = ("seed", "data")
"""Axes that an include is crossed with."""


@dataclass(frozen=True)
class _Draft:
    """A cell in the making: its own keys, and the layer of all keys given so far."""

    own: Layer
    layer: Layer


def expand(declaration: Declaration, problems: Problems) -> tuple[Cell, ...]:
    """The cells in the order of the text, matrices first; what is wrong with them is added to ``problems``."""
    if _too_many(declaration, problems):
        return ()
    drafts = _once([*_matrix_drafts(declaration, problems), *_include_drafts(declaration)])
    if not drafts:
        problems.add(declaration.mark, "no cell is left: everything is excluded")
    drafts = _overridden(drafts, declaration.overrides, problems)
    cells = tuple(_cell(each, declaration.settings) for each in drafts)
    _check_models(cells, declaration.mark, problems)
    _check_equal(cells, declaration, problems)
    _check_warmup(cells, problems)
    return cells


def _too_many(declaration: Declaration, problems: Problems) -> bool:
    count = sum(math.prod(len(axis.rows) for axis in axes) for axes in declaration.matrices)
    count += len(declaration.includes) * math.prod(len(_crossed(declaration, key)) or 1 for key in CROSSED)
    if count > MAX_CELLS:
        problems.add(declaration.mark, f"{count:,} cells are too many; at most {MAX_CELLS:,} fit one experiment")
    return count > MAX_CELLS


def _matrix_drafts(declaration: Declaration, problems: Problems) -> Iterator[_Draft]:
    matrices = declaration.matrices or (((),) if not declaration.includes else ())
    drafts = [_Draft(own, merge(declaration.defaults, own)) for axes in matrices for own in _product(axes)]
    hit = [_matching(each, drafts) for each in declaration.excludes]
    for pattern, matched in zip(declaration.excludes, hit, strict=True):
        if not matched:
            problems.add(pattern.mark, "this exclude matches no cell of the matrix")
    gone = set().union(*hit)
    return (draft for index, draft in enumerate(drafts) if index not in gone)


def _product(axes: Sequence[Axis]) -> Iterator[Layer]:
    for rows in itertools.product(*(axis.rows for axis in axes)):
        yield {key: given for row in rows for key, given in row.items()}


def _matching(pattern: Pattern, drafts: Iterable[_Draft]) -> set[int]:
    return {index for index, each in enumerate(drafts) if pattern.matches(complete(each.layer))}


def _include_drafts(declaration: Declaration) -> Iterator[_Draft]:
    for layer in declaration.includes:
        axes = [Axis((key,), _crossed(declaration, key)) for key in CROSSED if key not in layer]
        for row in _product([axis for axis in axes if axis.rows]):
            own = {**layer, **row}
            yield _Draft(own, merge(declaration.defaults, own))


def _crossed(declaration: Declaration, key: str) -> tuple[Layer, ...]:
    """The different values of a key over all matrices, in order."""
    rows = [row for axes in declaration.matrices for axis in axes if key in axis.keys for row in axis.rows]
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
    values = (getattr(run, each.name) for each in fields(Run))
    return tuple(canonical_json(each) if isinstance(each, Mapping) else each for each in values)


def _overridden(drafts: list[_Draft], overrides: Sequence[Override], problems: Problems) -> list[_Draft]:
    layers = [each.layer for each in drafts]
    for override in overrides:
        matched = _matching(override.when, drafts)
        if not matched:
            problems.add(override.when.mark, "this override matches no cell")
        for index in matched:
            layers[index] = merge(layers[index], override.layer)
    return [_Draft(draft.own, layer) for draft, layer in zip(drafts, layers, strict=True)]


def _cell(draft: _Draft, settings: Layer) -> Cell:
    layer = complete(merge(draft.layer, settings))
    origin = {key: each.mark for key, each in layer.items()}
    choice = {key: str(each.value) if key == "data" else each.value for key, each in draft.own.items()}
    return Cell(run_of(layer), origin, choice)


def _check_models(cells: Iterable[Cell], mark: Mark, problems: Problems) -> None:
    if any(not cell.run.model for cell in cells):
        problems.add(mark, "a cell has no model; name one under defaults, matrix or include")


def _check_equal(cells: Iterable[Cell], declaration: Declaration, problems: Problems) -> None:
    layers = [*(override.layer for override in declaration.overrides), declaration.settings]
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
