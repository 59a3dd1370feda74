"""Image files one after the other in one file, of which only those asked for are read.

<part>_files.bin    the bytes of the files
<part>_files.npy    int64 (n, 4): where each file ends; height, width and channels as decoded
<part>_sha256.npy   uint8 (n, 32): SHA-256 of each file
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmark.data.datacache import DataError
from benchmark.data.filetable import FileFacts
from benchmark.data.images import ImageError, Pixels, decode
from benchmark.data.imageset import Order, Shape

_KINDS = ("files.bin", "files.npy", "sha256.npy")


@dataclass
class Packer:
    """Writes files one after the other."""

    directory: Path
    part: str

    def __post_init__(self) -> None:
        self._bytes, self._facts, self._end = self._place(0).open("wb"), list[tuple[int, ...]](), 0
        self._digests = bytearray()

    def add(self, content: bytes, facts: FileFacts) -> None:
        self._bytes.write(content)
        self._end += len(content)
        self._facts.append((self._end, facts.height, facts.width, facts.channels))
        self._digests += bytes.fromhex(facts.sha256)

    def close(self) -> None:
        self._bytes.close()
        np.save(self._place(1), np.array(self._facts, dtype=np.int64).reshape(-1, 4))
        np.save(self._place(2), np.frombuffer(bytes(self._digests), dtype=np.uint8).reshape(-1, 32))

    def _place(self, kind: int) -> Path:
        return self.directory / f"{self.part}_{_KINDS[kind]}"


class PackedImages:
    """The images of some parts, one part after the other."""

    def __init__(self, directory: Path, parts: Sequence[str]) -> None:
        self._paths = [directory / f"{part}_{_KINDS[0]}" for part in parts]
        tables = [np.load(directory / f"{part}_{_KINDS[1]}") for part in parts]
        self._digests: npt.NDArray[np.uint8] = np.concatenate(
            [np.load(directory / f"{part}_{_KINDS[2]}") for part in parts]
        )
        self._facts: npt.NDArray[np.int64] = np.concatenate([each[:, 1:] for each in tables])
        self._spans = np.concatenate([np.stack([np.r_[0, each[:-1, 0]], each[:, 0]], axis=1) for each in tables])
        self._owners = np.repeat(np.arange(len(parts)), [len(each) for each in tables])

    @property
    def image_size(self) -> int | None:
        sides = set(self._facts[:, :2].reshape(-1).tolist())
        return sides.pop() if len(sides) == 1 else None

    @property
    def channels(self) -> int:
        return int(self._facts[:, 2].max())

    def pixels(self, index: int) -> Pixels:
        """uint8 (height, width, 1 or 3).

        Raises:
            DataError: the file is not what was written.
        """
        start, end = self._spans[index].tolist()
        path = self._paths[self._owners[index]]
        try:
            with path.open("rb") as file:
                file.seek(start)
                content = file.read(end - start)
            if hashlib.sha256(content).hexdigest() != self.fingerprint(index):
                raise DataError(f"{path}: broken; delete {path.parent} and run the command again")
            return decode(content)
        except (OSError, ImageError) as error:
            raise DataError(f"{path}: cannot be read any more: {error}") from error

    def fingerprint(self, index: int) -> str:
        return bytes(self._digests[index]).hex()

    def shapes(self) -> Mapping[Shape, int]:
        return Counter((height, width, channels) for height, width, channels in self._facts.tolist())

    def content(self, order: Order) -> str:
        return hashlib.sha256("".join(self.fingerprint(index) for index in order).encode()).hexdigest()
