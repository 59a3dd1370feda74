"""Child process: one of torchvision's data sets, found or downloaded, as an export (format: ``data/exports.py``).

    python -m benchmark.training.torchvision_data NAME ROOT OUTPUT

Exit status 1, and the reason in ``OUTPUT/error.txt``, where it cannot be had.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.data import child
from benchmark.data.exports import times, write
from benchmark.data.vision_sets import DATASETS
from benchmark.durable import write_json
from benchmark.training import torchvision_found
from benchmark.training.torchvision_classes import common_classes
from benchmark.training.torchvision_samples import arrays_of, files_of, is_of_files, labels_of

SILENCE = 60.0
"""Seconds without a byte after which a download is given up."""


def make(arguments: list[str], output: Path) -> None:
    """Writes the export of the data set NAME, whose files are in ROOT."""
    name, root = arguments[0], Path(arguments[1])
    socket.setdefaulttimeout(SILENCE)
    torchvision_found.unpack_archives(DATASETS[name].kind, root)
    opened, notes = _watch_opened(), set[str]()
    labels, classes, kinds = {}, {}, set()
    for part, keys in DATASETS[name].parts.items():
        data, note = torchvision_found.dataset(DATASETS[name].kind, root, keys)
        notes |= {note} - {""}
        kinds.add(is_of_files(data))
        labels[part], classes[part] = _write_part(data, output, part)
    names, numbers = common_classes(labels, classes)
    below = (path for path in sorted(opened) if path.is_relative_to(root) and path != root and path.exists())
    files = {str(path): times(path) for path in below}
    write(output, "paths" if kinds == {True} else "arrays", names, numbers, files, sorted(notes))


def _write_part(data: Any, output: Path, part: str) -> tuple[Any, Any]:
    """The labels of a part and what its data set calls the classes."""
    if not is_of_files(data):
        labels = labels_of(data)
        arrays_of(data, output / f"{part}_images.npy", len(labels))
        return labels, getattr(data, "classes", None)
    samples = files_of(data)
    write_json(output / f"{part}_paths.json", [str(path) for path, _ in samples], indent=None)
    return np.array([label for _, label in samples], dtype=np.int64), getattr(data, "classes", None)


def _watch_opened() -> set[Path]:
    """Every file opened, and every directory listed, from now on: what the data set is made of is among them."""
    opened: set[Path] = set()

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"open", "os.scandir", "os.listdir"} and isinstance(arguments[0], str | bytes | os.PathLike):
            opened.add(Path(os.fsdecode(arguments[0])).absolute())

    sys.addaudithook(watch)
    return opened


if __name__ == "__main__":
    sys.exit(child.main(make))
