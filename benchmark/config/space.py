"""What samples are drawn or chosen from: the axes of a matrix, but for ``seed`` and ``data``, with which each sample is
crossed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property

from benchmark.config.axes import Axis, text_of
from benchmark.config.layer import Layer
from benchmark.config.sampling import Sampling, Shares, draw


@dataclass(frozen=True)
class Space:
    """The axes, and the samples that there are so far; those of a search are its trials.  ``context`` is what else
    makes runs of them."""

    axes: tuple[Axis, ...]
    sampling: Sampling
    context: str = ""

    @cached_property
    def tried(self) -> tuple[Shares, ...]:
        """Different from each other."""
        return tuple(shares for shares, _ in self.drawn())

    def drawn(self) -> Iterator[tuple[Shares, tuple[Layer, ...]]]:
        """Each sample with its row of each axis."""
        picks = {axis.name: axis.pick for axis in self.axes}
        return draw(self.sampling, picks, lambda rows: tuple(map(text_of, rows)))

    @property
    def kinds(self) -> dict[str, int | None]:
        """How many rows each axis has; ``None``: it is a range."""
        return {axis.name: None if axis.spread else len(axis.rows) for axis in self.axes}

    def same(self, shares: Shares) -> Hashable:
        """Equal for equal trials."""
        return tuple(text_of(axis.pick(share)) for axis, share in zip(self.axes, shares, strict=True))

    @property
    def size(self) -> float:
        """How many different trials there are at most."""
        return math.prod(axis.spread.size if axis.spread else len(axis.rows) for axis in self.axes)

    @property
    def digest(self) -> str:
        """Of everything that tells what a trial is, and of the seed: trials of another space mean nothing here."""
        parts = (self.sampling.seed, [axis.text for axis in self.axes], self.context)
        return hashlib.sha256(repr(parts).encode()).hexdigest()
