"""Child process: one of torchvision's data sets, found or downloaded, as arrays (format: ``benchmark/vision.py``).

    python -m benchmark.training.torchvision_data NAME ROOT OUTPUT

Exit status 1, and the reason in ``OUTPUT/error.txt``, where it cannot be had.  Debian's copy of Fashion-MNIST (package
``dataset-fashion-mnist``) is unpacked into ROOT; torchvision itself refuses it, since Debian compressed it anew.
"""

from __future__ import annotations

import gzip
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.data.vision import DATASETS, times, write_export
from benchmark.rundir import atomic

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
SILENCE = 60.0
"""Seconds without a byte after which a download is given up."""


def main() -> int:
    name, root, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    socket.setdefaulttimeout(SILENCE)
    try:
        _export(name, root, output)
    except (RuntimeError, OSError, ImportError, ValueError) as error:
        (output / "error.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        return 1
    return 0


def _export(name: str, root: Path, output: Path) -> None:
    opened = _watch_opened()
    if name == "FashionMNIST" and DEBIAN.is_dir():
        unpack_debian(DEBIAN, root)
    classes: list[str] = []
    for part, arguments in DATASETS[name].items():
        data = _dataset(name, root, arguments)
        labels = labels_of(data)
        np.save(output / f"{part}_images.npy", pixels(data.data))
        np.save(output / f"{part}_labels.npy", labels)
        classes = [str(each) for each in getattr(data, "classes", range(int(labels.max()) + 1))]
    below = (path for path in sorted(opened) if path.is_relative_to(root) and path.is_file())
    write_export(output, classes, {str(path): times(path) for path in below})


def _watch_opened() -> set[Path]:
    """Every file opened from now on: the files that the data set is made of are among them."""
    opened: set[Path] = set()

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes):
            opened.add(Path(os.fsdecode(arguments[0])).absolute())

    sys.addaudithook(watch)
    return opened


def _dataset(name: str, root: Path, arguments: Mapping[str, Any]) -> Any:
    import torchvision.datasets

    kind = getattr(torchvision.datasets, name)
    try:
        return kind(root, download=False, **arguments)
    except (RuntimeError, OSError):  # what torchvision says of missing files
        root.mkdir(parents=True, exist_ok=True)
        return kind(root, download=True, **arguments)


def unpack_debian(source: Path, root: Path) -> None:
    """The four files of ``source`` to where torchvision looks for them under ``root``, unless they are there."""
    raw = root / "FashionMNIST" / "raw"
    for packed in sorted(source.glob("*.gz")):
        if not (raw / packed.stem).exists():
            with atomic(raw / packed.stem) as file:
                file.write(gzip.decompress(packed.read_bytes()))


def pixels(data: Any) -> npt.NDArray[np.uint8]:
    """What a data set has as ``data`` as uint8 (n, h, w, c); (n, h, w) and (n, c, h, w) are known too.

    Raises:
        ValueError: not bytes, or of another shape.
    """
    array = np.asarray(data)
    if array.dtype != np.uint8 or array.ndim not in {3, 4}:
        raise ValueError(f"images of type {array.dtype} and shape {array.shape} instead of bytes (n, h, w, c)")
    if array.ndim == 3:
        return array[..., None]
    planes_second = array.shape[1] in {1, 3} and array.shape[3] not in {1, 3}
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1) if planes_second else array)


def labels_of(data: Any) -> npt.NDArray[np.int64]:
    """``targets``, or ``labels`` as some data sets call them, int64 (n,)."""
    return np.asarray(data.targets if hasattr(data, "targets") else data.labels, dtype=np.int64)


if __name__ == "__main__":
    sys.exit(main())
