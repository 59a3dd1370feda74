"""The classes of a data set of torchvision, whose splits may name or number them differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


def common_classes(labels: Mapping[str, Labels], given: Mapping[str, Any]) -> tuple[list[str], dict[str, Labels]]:
    """The classes that have images, in the order in which the splits name them, and the labels that point at them.

    Args:
        labels: part -> int64 (n,), into the classes of that part.
        given: part -> what its data set calls the classes: text, tuples of synonyms, or ``None`` (then their numbers).
    """
    names = {part: _names(given[part], each) for part, each in labels.items()}
    every = list(dict.fromkeys(name for each in names.values() for name in each))
    used = {names[part][label] for part, each in labels.items() for label in np.unique(each).tolist()}
    kept = [name for name in every if name in used]
    places = {name: place for place, name in enumerate(kept)}
    tables = {part: np.array([places.get(name, -1) for name in each], dtype=np.int64) for part, each in names.items()}
    return kept, {part: tables[part][each] for part, each in labels.items()}


def _names(given: Sequence[Any] | None, labels: Labels) -> list[str]:
    if given is None or len(given) <= labels.max():
        return [str(each) for each in range(int(labels.max()) + 1)]
    first = [str(each[0]) if isinstance(each, tuple | list) else str(each) for each in given]
    if len(set(first)) == len(first):
        return first
    whole = [", ".join(map(str, each)) if isinstance(each, tuple | list) else str(each) for each in given]
    return whole if len(set(whole)) == len(whole) else [f"{number} {name}" for number, name in enumerate(whole)]
