"""The axes of a matrix: keys that vary together, and the values that they have."""

from __future__ import annotations

import json
from dataclasses import dataclass

from benchmark.config.data_keys import identity
from benchmark.config.keys import Given
from benchmark.config.layer import Layer
from benchmark.config.problems import Mark
from benchmark.config.spread import Spread

CROSSED = ("seed", "data")
"""Axes that an include, and every sample of a matrix, is crossed with."""


@dataclass(frozen=True)
class Axis:
    """Keys that vary together: each row has a value for every key.

    Instead of rows, the one key of an axis may have a ``spread``, from which samples are drawn.
    """

    keys: tuple[str, ...]
    rows: tuple[Layer, ...]
    mark: Mark
    spread: Spread | None = None

    @property
    def name(self) -> str:
        return ", ".join(self.keys)

    @property
    def text(self) -> str:
        """Equal for axes with equal values."""
        return f"{self.name}: {self.spread or [*map(text_of, self.rows)]}"

    @property
    def crossed(self) -> bool:
        """Whether all samples are tried with all its rows."""
        return not set(self.keys).isdisjoint(CROSSED)

    def pick(self, share: float) -> Layer:
        """The row at a share (0 to 1, without 1) of the way."""
        if self.spread:
            return {self.keys[0]: Given(self.spread.at(share), self.mark)}
        return self.rows[int(share * len(self.rows))]


def text_of(row: Layer | None) -> str:
    """Equal rows have equal text."""
    values = {key: identity(each.value) for key, each in (row or {}).items()}
    return json.dumps(values, sort_keys=True, default=repr)
