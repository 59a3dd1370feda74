"""Small pictures of images by their ids, from the cache of decoded data; what is not there is not decoded again.

Of a data set that was decoded in several forms the smallest that is at least as large as a thumbnail is taken, else the
largest.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmark.data import prepared
from benchmark.data.datacache import DataError

SIDE = 64
"""Pixels of a thumbnail's side at most; smaller images keep their size."""


def thumbnails(cache: Path, digest: str, ids: Sequence[str]) -> Mapping[str, bytes]:
    """PNGs of those of the images ``ids`` that the cache has of the data set ``digest`` (SHA-256, hexadecimal).

    The same cache gives the same bytes.  A broken directory of the cache counts as none.
    """
    for directory in _directories(cache, digest):
        try:
            images, _, known = prepared.arrays(directory)
        except DataError:
            continue
        places = _places(known, ids)
        return {key: _png(np.asarray(images[place])) for key, place in places.items()}
    return {}


def _directories(cache: Path, digest: str) -> list[Path]:
    """Those with images of the data set, the most suitable first."""
    found = []
    for path in sorted((cache / "data").glob(f"{digest[:16]}-*")):
        size = path.name.removeprefix(f"{digest[:16]}-").partition("-")[0]
        if size.isdecimal() and _is_of(path, digest):
            found.append((path, int(size)))
    return [path for path, size in sorted(found, key=lambda each: (each[1] < SIDE, abs(each[1] - SIDE), each[0].name))]


def _is_of(directory: Path, digest: str) -> bool:
    try:
        return prepared.read(directory).digest == digest
    except DataError:
        return False


def _places(known: npt.NDArray[np.str_], ids: Sequence[str]) -> dict[str, int]:
    wanted = np.flatnonzero(np.isin(known, np.asarray(ids, dtype=np.str_)))
    by_id = {str(known[place]): int(place) for place in wanted}
    return {key: by_id[key] for key in ids if key in by_id}


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return content.getvalue()
