"""Images that do not fit into memory, read from their files while the network computes.

A few threads read whole batches ahead, in the order in which they are wanted: for each run of neighbouring images one
``preadv``, which lets other threads go on.  What waits is bounded, by batches and by bytes; nothing is mapped, so that
the memory of the process does not grow with the data.  The bytes are those of the images in memory.

No thread ever waits for the reader of the batches: each reads its batch and ends, so that training that fails or stops
leaves none behind.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmark.data import checks
from benchmark.data.datacache import DataError
from benchmark.data.shards import Stored

READERS = 4
AHEAD, AHEAD_BYTES = 8, 128 * 2**20
"""How many batches at most, and how many bytes, are read before they are wanted; one batch at least."""

Rows = npt.NDArray[np.int64]


class StreamedImages:
    """uint8 (n, height, width, channels) in files: ``count`` images from the image ``first`` on.

    The files are held open, so that a directory that is deleted meanwhile can still be read.
    """

    device = torch.device("cpu")

    def __init__(self, files: OpenFiles, first: int, count: int) -> None:
        self._files, self._first = files, first
        self.shape = torch.Size([count, *files.stored.shape[1:]])

    @classmethod
    def of(cls, stored: Stored) -> StreamedImages:
        """
        Raises:
            DataError: a file cannot be opened.
        """
        return cls(OpenFiles(stored), 0, stored.shape[0])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: slice) -> StreamedImages:
        """Some of the images, one after the other, which are not read yet."""
        places = range(len(self))[which]
        if places.step != 1:
            raise ValueError("only neighbouring images are a part")
        return StreamedImages(self._files, self._first + places.start, len(places))

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The images at the places ``index`` (int64), read now; ``dim`` is 0."""
        assert dim == 0
        return self._read(index.numpy(), pinned=False)

    def to(self, device: torch.device | str) -> Tensor:
        """The images in a device's memory, read now: a few of them.

        Raises:
            ValueError: they are many.
        """
        if len(self) * self._files.stored.image_bytes > AHEAD_BYTES:
            raise ValueError("images that are larger than memory are read from disk and cannot be moved to a device")
        return self._read(np.arange(len(self)), pinned=False).to(device)

    def ahead(self, wanted: Iterable[Rows], *, pinned: bool = False) -> Generator[Tensor, None, None]:
        """The images at each of ``wanted`` (int64), batch after batch, read before they are asked for.

        Args:
            pinned: in memory that a GPU can read from.

        Raises:
            DataError: a file was cut off, or cannot be read any more.
        """
        waiting: deque[Future[Tensor]] = deque()
        with ThreadPoolExecutor(READERS, "images") as pool:
            try:
                for rows in wanted:
                    waiting.append(pool.submit(self._read, rows, pinned))
                    if len(waiting) > self._room(len(rows)):
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for each in waiting:
                    each.cancel()

    def _room(self, batch: int) -> int:
        return max(1, min(AHEAD, AHEAD_BYTES // max(1, batch * self._files.stored.image_bytes)))

    def _read(self, rows: Rows, pinned: bool) -> Tensor:
        images = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8, pin_memory=pinned)
        self._files.fill(images.numpy(), rows + self._first)
        return images


class OpenFiles:
    """The files of the images, open for as long as this lives."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self._handles: list[int] = []
        weakref.finalize(self, _close, self._handles)
        self._handles.extend(_open(path) for path in stored.paths)

    def fill(self, images: npt.NDArray[np.uint8], rows: Rows) -> None:
        """Reads the image ``rows[i]`` of all into ``images[i]``."""
        flat = images.reshape(-1).data
        size = self.stored.image_bytes
        for start, end in _runs(rows, self.stored.rows):
            first = int(rows[start])
            self._fill(flat[start * size : end * size], first)
            number = first // self.stored.rows
            wanted = self.stored.checks[first : first + end - start]
            checks.compare(images[start:end], wanted, self.stored.paths[number].parent)

    def _fill(self, room: memoryview, row: int) -> None:
        number, inside = divmod(row, self.stored.rows)
        place, path = self.stored.offsets[number] + inside * self.stored.image_bytes, self.stored.paths[number]
        while room:
            try:
                count = os.preadv(self._handles[number], [room], place)
            except OSError as error:
                raise DataError(f"{path}: cannot be read any more: {error.strerror}; run again") from error
            if not count:
                raise DataError(f"{path}: was cut off while it was read; delete {path.parent} and run again")
            room, place = room[count:], place + count


def _runs(rows: Rows, shard: int) -> Iterator[tuple[int, int]]:
    """From where to where ``rows`` are neighbours in one file."""
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(rows // shard) != 0)) + 1
    edges = [0, *breaks.tolist(), len(rows)]
    return pairwise(edges)


def _open(path: Path) -> int:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened: {error.strerror}; run the command again") from error
    if hasattr(os, "posix_fadvise"):
        # Neighbours are rarely wanted next: what the kernel would read ahead would be thrown away.
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
    return handle


def _close(handles: list[int]) -> None:
    for each in handles:
        os.close(each)
