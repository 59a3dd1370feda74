"""The first time that files of images are decoded: what is learnt of each is remembered, and what cannot be read is
told all at once.

Where the form is known that a sweep will ask for, the pixels of the first look are those that are kept: each file is
decoded once.  What the form owes to the images (their size where the experiment names none, grey or colour) is guessed
from a few of them, and the guess is checked when all have been seen.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmark.data.datacache import DataError
from benchmark.data.filetable import WINDOW, Examined, FileFacts, Stat, keep
from benchmark.data.folder import FileImages
from benchmark.data.images import ImageError, Pixels, decode, decoding, parallel
from benchmark.data.prepared import Form
from benchmark.data.telling import counted

SAMPLES = 16
"""Images that a guess looks at."""


@dataclass(frozen=True)
class Wanted:
    """A form as an experiment asks for it: ``size`` and ``channels`` are ``None`` where the images decide."""

    size: int | None
    channels: int | None
    resize: str
    interpolation: str = "auto"
    crop_pct: float | None = None

    def form(self, size: int, channels: int) -> Form:
        return Form(size, channels, self.resize, self.interpolation, self.crop_pct)

    def is_met(self, form: Form, images: FileImages) -> bool:
        """Whether a form is what these images, all of them seen, have to become."""
        return (self.size or images.image_size, self.channels or images.channels) == (form.size, form.channels)


@dataclass
class Look:
    """Decodes images for the first time.  ``images`` become those whose facts are known; from several threads.

    ``pixels`` of a file that cannot be read are black: the others are looked at all the same, and :meth:`finish` tells.
    """

    images: FileImages
    cache: Path
    _facts: dict[int, FileFacts] = field(default_factory=dict)
    _broken: dict[int, str] = field(default_factory=dict)
    _waiting: list[Examined] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pixels(self, index: int) -> Pixels:
        """uint8 (height, width, 1 or 3).

        Raises:
            DataError: the file has changed since its digest was taken.
        """
        try:
            examined, pixels = _examine(self.images.paths[index])
        except ImageError as error:
            self._broken[index] = str(error)
        except OSError as error:
            self._broken[index] = error.strerror or str(error)
        else:
            if examined.facts.sha256 != self.images.facts[index].sha256:
                with self.images.naming():
                    raise DataError(f"{examined.path}: changed while it was being read; run the command again")
            self._facts[index] = examined.facts
            with self._lock:
                self._waiting.append(examined)
                many = len(self._waiting) >= WINDOW
            if many:
                self._remember()
            return pixels
        return np.zeros((1, 1, 1), dtype=np.uint8)

    def glance(self, index: int) -> None:
        """Sees that image, and keeps no pixels."""
        self.pixels(index)

    def finish(self) -> FileImages:
        """Remembers what was seen; the images with the facts of these.

        Raises:
            DataError: files that cannot be read or decoded, every one of them named; or the cache cannot be written.
        """
        with self.images.naming():
            self._remember()
            if self._broken:
                paths = self.images.paths
                lines = "".join(f"\n  {paths[index]}: {self._broken[index]}" for index in sorted(self._broken))
                count = f"{len(self._broken)} of {len(paths)}"
                raise DataError(f"{count} images cannot be read; repair or remove them:{lines}")
        facts = (self._facts.get(index, known) for index, known in enumerate(self.images.facts))
        return replace(self.images, facts=tuple(facts))

    def _remember(self) -> None:
        """What was seen since the last time: an interrupted look at many files goes on from here."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        keep(self.cache, waiting)


def _examine(path: Path) -> tuple[Examined, Pixels]:
    stat = Stat.of(path)
    data = path.read_bytes()
    pixels = decode(data)
    return Examined(path, stat, FileFacts(hashlib.sha256(data).hexdigest(), *pixels.shape)), pixels


def see(images: FileImages, cache: Path) -> FileImages:
    """All of them with their facts; those that are new are decoded.

    Raises:
        DataError: as :meth:`Look.finish`.
    """
    if not (new := images.new):
        return images
    look = Look(images, cache)
    for _ in counted(parallel(look.glance, new, WINDOW), len(new), "decoding images"):
        pass
    return look.finish()


def guess(images: FileImages, wanted: Wanted) -> Form | None:
    """The form that they are likely to become; ``None`` where a few of them do not tell."""
    step = -(-len(images.paths) // SAMPLES)
    try:
        with decoding():
            shapes = [decode(path.read_bytes()).shape for path in images.paths[::step]]
    except (ImageError, OSError):
        return None
    sides = {side for height, width, _ in shapes for side in (height, width)}
    size = wanted.size or (sides.pop() if len(sides) == 1 else None)
    return wanted.form(size, wanted.channels or max(shape[2] for shape in shapes)) if size else None
