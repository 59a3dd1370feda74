"""Random cells of a matrix: ``random: {samples: 20, seed: 0}`` beside its axes.

Each sample draws a value from every axis but ``seed`` and ``data``, with which all samples are crossed: equal
configurations on all seeds.  A draw depends on the sampling's seed, the axis and the number of the sample alone; so
more samples keep the earlier ones, and another axis leaves the draws of the others as they are.  No two samples are
equal.  A search adds samples that it has chosen to some that are drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from benchmark.config.document import Node
from benchmark.config.keys import Keys, fields_of
from benchmark.config.problems import Mark, Problems
from benchmark.run import key

KEY = "random"
VAIN = 20
"""Draws in a row, for each sample that was found, after which one more would have come up but in e^-20 of cases."""
T = TypeVar("T")
Shares = tuple[float, ...]
"""A sample: how far along each axis it lies (0 to 1, without 1)."""


@dataclass(frozen=True)
class Sampling:
    """How many cells are drawn, and the seed of the draws, which is no run's seed."""

    samples: int = key(1, "how many configurations are drawn", ge=1, le=20_000)
    seed: int = key(0, "seed of the draws", ge=0)
    mark: Mark = Mark("")
    chosen: tuple[Shares, ...] = ()
    """Further ones, by a search, of which so many are taken that there are ``most`` different ones."""
    most: int = 0


def read_sampling(node: Node, problems: Problems) -> Sampling | None:
    """The sampling of a matrix's ``random`` key; ``None`` after adding problems."""
    wrong = Problems()
    given = Keys.of("RandomKeys", fields_of(Sampling, "samples", "seed")).read(node, wrong)
    if not wrong and "samples" not in given:
        wrong.add(node.mark, "random needs samples: {samples: 20, seed: 0}")
    problems.extend(wrong.found)
    values: Mapping[str, Any] = {name: each.value for name, each in given.items()}
    return None if wrong else Sampling(**values, mark=node.mark)


def draw(
    sampling: Sampling, axes: Mapping[str, Callable[[float], T]], same: Callable[[Sequence[T]], Hashable]
) -> Iterator[tuple[Shares, tuple[T, ...]]]:
    """Different samples, and the value that each axis has there; the drawn ones first.

    ``same`` is equal for equal samples; there are fewer than were asked for when so many draws in a row bring nothing
    new that there can hardly be another.
    """
    seen: set[Hashable] = set()
    number = vain = 0
    while len(seen) < sampling.samples and vain < VAIN * (len(seen) + 1):
        shares = tuple(_share(sampling.seed, name, number) for name in axes)
        number, vain = number + 1, vain + 1
        found = _at(shares, axes)
        if (identity := same(found)) not in seen:
            seen.add(identity)
            vain = 0
            yield shares, found
    for shares in sampling.chosen:
        found = _at(shares, axes)
        if len(seen) < sampling.most and (identity := same(found)) not in seen:
            seen.add(identity)
            yield shares, found


def _at(shares: Shares, axes: Mapping[str, Callable[[float], T]]) -> tuple[T, ...]:
    return tuple(pick(share) for share, pick in zip(shares, axes.values(), strict=True))


def _share(seed: int, name: str, number: int) -> float:
    digest = hashlib.sha256(f"{seed}/{name}/{number}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
