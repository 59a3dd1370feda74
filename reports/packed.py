"""Which test images each run of a configuration has right, packed into a few hundred characters for leaderboard.json.

With it two leaderboards can be compared image by image when the run directories are gone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOST = 20_000
"""Images beyond which nothing is packed: a run would take more than 3,334 characters."""
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Packed:
    """``seeds``: seed -> base64 of a bit for each of the ``n`` images of ``split``, the first in the highest bit of the
    first byte; ``images``: what tells these images, in this order, from others."""

    split: str
    images: str
    n: int
    seeds: Mapping[str, str]


def pack(right: Bools, seeds: Sequence[int], split: str, images: str) -> Packed | None:
    """From bool (seeds, n); ``None`` of more images than ``MOST``."""
    n = right.shape[1]
    if n > MOST:
        return None
    bits = {
        str(seed): base64.b64encode(np.packbits(row).tobytes()).decode() for seed, row in zip(seeds, right, strict=True)
    }
    return Packed(split, images, n, bits)


def unpack(packed: Packed) -> Bools:
    """bool (seeds, n).

    Raises:
        ValueError: a text is not the bits of n images, or there is none.
    """
    if not 0 < packed.n <= MOST or not packed.seeds:
        raise ValueError(f"packed answers to {packed.n} images of {len(packed.seeds)} runs")
    return np.stack([_bits(text, packed.n) for text in packed.seeds.values()])


def digest(ids: npt.NDArray[np.str_], labels: npt.NDArray[np.int64]) -> str:
    """16 hexadecimal digits of the SHA-256 of the images' ids and true classes."""
    found = hashlib.sha256(np.asarray(labels, dtype="<i8").tobytes())
    for each in ids:
        found.update(str(each).encode("utf-8", errors="surrogatepass") + b"\0")
    return found.hexdigest()[:16]


def _bits(text: str, n: int) -> Bools:
    try:
        found = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    except binascii.Error as error:
        raise ValueError(f"packed answers are no base64: {error}") from error
    if len(found) != -(-n // 8):
        raise ValueError(f"{len(found)} bytes cannot be the answers to {n} images")
    return np.unpackbits(found)[:n].astype(np.bool_)
