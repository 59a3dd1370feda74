"""Batches from a prepared directory (:mod:`benchmark.data.prepared`), without work for each sample in Python.

    data = load(directory)
    normalize = Normalize(data.mean, data.std, device)
    order = epoch_order(len(data.train), seed, epoch)
    for images, labels in batches(data.train, 64, normalize, order=order, drop_single=True):
        ...

Images stay 8-bit and mapped from the file, which all processes share; a batch is one look-up, then one conversion to
float32.  A batch's memory is (n, height, width, channels), seen as (n, channels, height, width): channels last, which
convolutions on CPU and GPU prefer.  Where a GPU has room, ``data.train.to(device)`` moves a split there once.

Images that are too large for memory are read from disk by threads, ahead of the batches (``streamed.py``): the same
bytes in the same order.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor

from benchmark.data import checks, prepared
from benchmark.data.shards import Stored
from benchmark.run import Run
from benchmark.training.streamed import StreamedImages

Batch = tuple[Tensor, Tensor]
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Split:
    """``images`` uint8 (n, height, width, channels), in memory or read when they are wanted, ``labels`` int64 (n,),
    ``ids`` text (n,)."""

    images: Tensor | StreamedImages
    labels: Tensor
    ids: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, which: slice) -> Split:
        """Some of its images, one after the other."""
        return Split(self.images[which], self.labels[which], self.ids[which])

    def to(self, device: torch.device | str) -> Split:
        """The same split with its images and labels in a device's memory."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


@dataclass(frozen=True)
class PreparedData:
    """A prepared directory.  ``mean`` and ``std`` float32 (channels,), of the training images, where white is 1."""

    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]
    mean: Tensor
    std: Tensor
    digest: str


def normalisation(run: Run, data: PreparedData) -> tuple[Tensor, Tensor]:
    """Mean and deviation: the run's own, else those of the training images."""
    if run.mean is None or run.std is None:
        return data.mean, data.std
    return torch.tensor(run.mean), torch.tensor(run.std)


class Normalize:
    """uint8 (n, height, width, channels) -> float32 (n, channels, height, width), channels last, on ``device``.

    ``mean`` and ``std`` (channels,), in units where white is 1, become 0 and 1.
    """

    def __init__(self, mean: Tensor, std: Tensor, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        mean, std = mean.double(), std.double()
        self._scale = (1 / (255 * std)).float().to(self.device)
        self._bias = (-mean / std).float().to(self.device)

    def __call__(self, images: Tensor) -> Tensor:
        pixels = images.to(self.device, non_blocking=True).float()
        return torch.addcmul(self._bias, pixels, self._scale).permute(0, 3, 1, 2)


def load(directory: Path) -> PreparedData:
    """The data in a prepared directory; images are looked at and mapped, or where they are large, opened, and looked at
    when they are read.

    Raises:
        DataError: the directory is missing, incomplete, broken or of another version.
    """
    header = prepared.read(directory)
    images, labels, ids = prepared.stored(directory)
    whole = Split(_images(images), torch.from_numpy(labels), ids)
    ends = np.cumsum([0, *(header.sizes[name] for name in ("train", "val", "test"))]).tolist()
    train, val, test = (whole.part(slice(start, end)) for start, end in itertools.pairwise(ends))
    mean, std = torch.tensor(header.mean), torch.tensor(header.std)
    return PreparedData(train, val, test, header.classes, mean, std, header.digest)


def batches(
    split: Split,
    batch_size: int,
    normalize: Normalize,
    *,
    order: Tensor | None = None,
    drop_single: bool = False,
    share: Callable[[int], slice] | None = None,
) -> Iterator[Batch]:
    """Normalised images and their labels (int64), on ``normalize``'s device; arguments as of :func:`raw_batches`."""
    device = normalize.device
    found = raw_batches(split, batch_size, order=order, drop_single=drop_single, share=share, device=device)
    for images, labels in found:
        yield normalize(images), labels.to(normalize.device, non_blocking=True)


def raw_batches(
    split: Split,
    batch_size: int,
    *,
    order: Tensor | None = None,
    drop_single: bool = False,
    share: Callable[[int], slice] | None = None,
    skip: int = 0,
    device: torch.device = CPU,
) -> Iterator[Batch]:
    """Images as they are in the split and their labels (int64), in ``order`` (int64, which images and when) or in the
    split's own.

    ``drop_single`` is for training: a last batch of one image is left out (:func:`steps_per_epoch`).  ``share`` says
    which images of a batch of so many are wanted; by default all.  The first ``skip`` batches are passed over.
    ``device`` is where the images will go.
    """
    count = len(split) if order is None else len(order)
    steps = steps_per_epoch(count, batch_size) if drop_single else -(-count // batch_size)
    order = None if order is None else order.to(split.images.device)
    parts = []
    for start in range(skip * batch_size, steps * batch_size, batch_size):
        end = min(start + batch_size, count)
        wanted = share(end - start) if share else slice(0, end - start)
        parts.append(slice(start + wanted.start, start + wanted.stop))
    yield from _cut(split, parts, order, device)


def steps_per_epoch(count: int, batch_size: int) -> int:
    """How many training batches ``count`` images make.  The last may be smaller, but is left out where it has one image
    only, since batch normalisation cannot be trained with one; unless it is the only batch, or ``batch_size`` is 1."""
    full, rest = divmod(count, batch_size)
    return full + (rest > 1 or (rest == 1 and full == 0))


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """A permutation of 0 to ``count`` - 1, int64, which depends on the seed and the epoch alone, so that a resumed run
    goes on as one that was never interrupted."""
    return torch.randperm(count, generator=epoch_generator(seed, epoch, "order"))


def epoch_generator(seed: int, epoch: int, purpose: str = "augment") -> Generator:
    """A generator on the CPU for one epoch and purpose; different ones are independent."""
    digest = hashlib.sha256(f"{purpose}/{seed}/{epoch}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def _images(stored: Stored) -> Tensor | StreamedImages:
    if stored.is_large:
        return StreamedImages.of(stored)
    # Mapped "copy on write": torch warns of arrays that cannot be written; nothing here writes.
    images = stored.mapped()
    checks.verify(images, stored.checks, stored.paths[0].parent)
    return torch.from_numpy(images)


def _cut(split: Split, parts: Sequence[slice], order: Tensor | None, device: torch.device) -> Iterator[Batch]:
    """The images and labels of each part of the order."""
    if isinstance(split.images, StreamedImages):
        yield from _streamed(split, split.images, parts, order, device)
        return
    for part in parts:
        if order is None:
            yield split.images[part], split.labels[part]
        else:
            yield split.images.index_select(0, order[part]), split.labels.index_select(0, order[part])


def _streamed(
    split: Split, images: StreamedImages, parts: Sequence[slice], order: Tensor | None, device: torch.device
) -> Iterator[Batch]:
    rows = torch.arange(len(split)) if order is None else order
    wanted = (rows[part].numpy() for part in parts)
    with closing(images.ahead(wanted, pinned=device.type == "cuda")) as read:
        for part, pixels in zip(parts, read, strict=True):
            yield pixels, split.labels.index_select(0, rows[part])
