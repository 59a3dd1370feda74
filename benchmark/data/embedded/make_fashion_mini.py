"""Makes fashion-mini.npz from the original files of Fashion-MNIST: ``make_fashion_mini.py DIRECTORY OUTPUT``.

DIRECTORY holds the four files ``train-images-idx3-ubyte`` and so on, gzipped or not.  The first 600 training and the
first 200 test images of each class are kept, in their original order, with their original numbers.  The same input
gives the same bytes (with the same zlib).
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

PER_CLASS = {"train": 600, "test": 200}
PREFIX = {"train": "train", "test": "t10k"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    np.savez_compressed(arguments.output, allow_pickle=False, **arrays(arguments.directory))


def arrays(directory: Path) -> dict[str, npt.NDArray[np.generic]]:
    """For each of ``train`` and ``test``: ``_images`` uint8 (n, 28, 28), ``_labels`` uint8 (n,), ``_indices`` uint16
    (n,), ascending."""
    result: dict[str, npt.NDArray[np.generic]] = {}
    for part, count in PER_CLASS.items():
        images = idx(directory, f"{PREFIX[part]}-images-idx3-ubyte")
        labels = idx(directory, f"{PREFIX[part]}-labels-idx1-ubyte")
        kept = np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(10)]))
        result |= {f"{part}_images": images[kept], f"{part}_labels": labels[kept]}
        result[f"{part}_indices"] = kept.astype(np.uint16)
    return result


def idx(directory: Path, name: str) -> Bytes:
    """An array of bytes in the idx format (http://yann.lecun.com/exdb/mnist/): two zero bytes, the type 8, the number
    of dimensions, each dimension as a big-endian 32-bit integer, then the values.

    Raises:
        ValueError: the file is not that.
    """
    packed = directory / f"{name}.gz"
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else (directory / name).read_bytes()
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"{directory / name}: not an idx file of bytes")
    shape = tuple(int(each) for each in np.frombuffer(data, dtype=">u4", count=data[3], offset=4))
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


if __name__ == "__main__":
    main()
