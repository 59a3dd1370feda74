"""The source ``folder``: the user's own images, one directory for each class (rules: ``layout.py``).

Files are read when they are asked for; what is known of each is kept in the cache (``filetable.py``).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.data.arrays import shares
from benchmark.data.datacache import DataError
from benchmark.data.filetable import FileFacts, scan
from benchmark.data.images import ImageError, Pixels, decode
from benchmark.data.imageset import ImageSet, Order, Shape, arrange
from benchmark.data.layout import listing
from benchmark.run import DataSpec


@dataclass(frozen=True)
class FileImages:
    """Images in files; read when asked for.  Until each is decoded once (``firstlook.py``), sizes and channels are not
    known of all."""

    paths: tuple[Path, ...]
    facts: tuple[FileFacts, ...]

    @property
    def new(self) -> tuple[int, ...]:
        """The numbers of those that were not decoded yet."""
        return tuple(number for number, each in enumerate(self.facts) if not each.channels)

    def naming(self) -> AbstractContextManager[None]:
        """Around what may raise :class:`DataError`: names the files as the user knows them."""
        return nullcontext()

    @property
    def image_size(self) -> int | None:
        sides = {side for each in self.facts for side in (each.height, each.width)}
        return sides.pop() if len(sides) == 1 else None

    @property
    def channels(self) -> int:
        return max(each.channels for each in self.facts)

    def pixels(self, index: int) -> Pixels:
        """uint8 (height, width, 1 or 3).

        Raises:
            DataError: the file is not what it was when it was inspected.
        """
        path = self.paths[index]
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != self.facts[index].sha256:
                raise DataError(f"{path}: changed while it was being read; run the command again")
            return decode(data)
        except (OSError, ImageError) as error:
            raise DataError(f"{path}: cannot be read any more: {error}") from error

    def fingerprint(self, index: int) -> str:
        return self.facts[index].sha256

    def shapes(self) -> Mapping[Shape, int]:
        return Counter((each.height, each.width, each.channels) for each in self.facts)

    def content(self, order: Order) -> str:
        return hashlib.sha256("".join(self.facts[index].sha256 for index in order).encode()).hexdigest()


def load(spec: DataSpec, cache: Path) -> ImageSet:
    """The folder ``spec.path``.

    Raises:
        DataError: it breaks a rule of the module, or an image cannot be read.
    """
    root = Path(spec.path).expanduser().absolute()
    files = listing(root)
    facts = scan(root, [each.path for each in files], cache)
    classes = sorted({each.class_name for each in files})
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[each.class_name] for each in files], dtype=np.int64)
    given = np.array([each.split for each in files], dtype=np.int8)
    images = FileImages(tuple(each.path for each in files), tuple(facts))
    twins = [each.sha256 for each in facts] if spec.duplicates == "refuse" else None
    try:
        return arrange(images, labels, [each.id for each in files], given, classes, shares(spec), twins)
    except DataError as error:
        raise DataError(f"{root}: {error}") from error
