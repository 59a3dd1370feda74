"""Equal images, by the SHA-256 of their content: what stands in two splits has been learnt before it is tested.

Limit: only exact copies are found, not the same picture saved again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.data.imageset import ImageSet
from benchmark.data.splits import NAMES, Assignment

SHOWN = 10


@dataclass(frozen=True)
class Duplicates:
    """Groups of equal images, each image as ``(split, class, id)``, training images first.

    ``leaks`` are those that stand in more than one split, ``conflicts`` those that stand in more than one class.
    """

    groups: tuple[tuple[tuple[str, str, str], ...], ...]

    @property
    def leaks(self) -> tuple[tuple[tuple[str, str, str], ...], ...]:
        return tuple(each for each in self.groups if len({split for split, _, _ in each}) > 1)

    @property
    def conflicts(self) -> tuple[tuple[tuple[str, str, str], ...], ...]:
        return tuple(each for each in self.groups if len({name for _, name, _ in each}) > 1)


def find(data: ImageSet) -> Duplicates:
    """The equal images of a data set; each image is asked for its fingerprint once."""
    alike: defaultdict[str, list[int]] = defaultdict(list)
    for index in range(len(data.ids)):
        alike[data.images.fingerprint(index)].append(index)
    parts = split_of(data)

    def image(index: int) -> tuple[str, str, str]:
        return NAMES[parts[index]], data.classes[data.labels[index]], data.ids[index]

    several = (sorted(group, key=lambda index: parts[index]) for group in alike.values() if len(group) > 1)
    return Duplicates(tuple(tuple(map(image, group)) for group in several))


def split_of(data: ImageSet) -> Assignment:
    """The split of each image, in the source's own order: int8 (n,)."""
    parts = np.empty(len(data.order), dtype=np.int8)
    parts[data.order] = np.repeat(np.arange(len(NAMES), dtype=np.int8), [data.sizes[name] for name in NAMES])
    return parts


def described(groups: Sequence[Sequence[tuple[str, str, str]]]) -> str:
    """One line each: ``train: cat/1.png = test: cat/7.png``."""
    lines = [" = ".join(f"{split}: {id_}" for split, _, id_ in group) for group in groups[:SHOWN]]
    more = [f"and {len(groups) - SHOWN} more"] if len(groups) > SHOWN else []
    return "".join(f"\n  {line}" for line in [*lines, *more])


def stand(count: int) -> str:
    """``1 image stands``, ``2 images stand``."""
    return "1 image stands" if count == 1 else f"{count} images stand"
