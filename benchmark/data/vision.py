"""The source ``torchvision``: its data sets by the name of their class, turned into arrays by a child process.

Torch is imported only there (``benchmark/training/torchvision_data.py``).  The arrays are kept in the cache's
``exports`` and are made again when one of the files that the child read has changed.

An export directory holds, for ``train`` and ``test``, ``<part>_images.npy`` uint8 (n, h, w, c) and
``<part>_labels.npy`` int64 (n,); and ``export.json``, written last: the classes and the files read with their
sizes and times.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import benchmark
from benchmark.data.arrays import shares
from benchmark.data.datacache import DataError, locked, replacing, writing
from benchmark.data.imageset import ArrayImages, ImageSet, arrange, given_splits
from benchmark.run import DataSpec
from benchmark.rundir import sync_directory, write_json

EXPORT_VERSION = 1

TRAIN_FLAG: Mapping[str, Mapping[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
SPLIT_NAME: Mapping[str, Mapping[str, Any]] = {"train": {"split": "train"}, "test": {"split": "test"}}

DATASETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "MNIST": TRAIN_FLAG,
    "FashionMNIST": TRAIN_FLAG,
    "KMNIST": TRAIN_FLAG,
    "EMNIST": {part: {"split": "balanced", **flag} for part, flag in TRAIN_FLAG.items()},
    "USPS": TRAIN_FLAG,
    "CIFAR10": TRAIN_FLAG,
    "CIFAR100": TRAIN_FLAG,
    "SVHN": SPLIT_NAME,
    "STL10": SPLIT_NAME,
}
"""Class name -> split -> arguments of its constructor.  EMNIST is its balanced split of 47 classes."""


def load(spec: DataSpec, cache: Path) -> ImageSet:
    """The data set ``spec.name``; ids are ``train/`` or ``test/`` and its number there.

    Raises:
        DataError: an unknown name, files that are neither there nor can be downloaded, or an unwritable cache.
    """
    directory = _export(spec, cache)
    read = {part: np.load(directory / f"{part}_images.npy", mmap_mode="r") for part in ("train", "test")}
    labels = np.concatenate([np.load(directory / f"{part}_labels.npy") for part in read])
    ids = [f"{part}/{number:05d}" for part, images in read.items() for number in range(len(images))]
    given = given_splits(*(len(images) for images in read.values()))
    images = ArrayImages(np.concatenate(list(read.values())))
    return arrange(images, labels, ids, given, _read(directory)["classes"], shares(spec))


def stamp(spec: DataSpec, cache: Path) -> str:
    """Changes when the files of the data set do."""
    return hashlib.sha256((_export(spec, cache) / "export.json").read_bytes()).hexdigest()


def unchanged(files: Mapping[str, list[int]]) -> bool:
    """Whether the files are as they were.  One that has gone does not count: the arrays stand for it."""
    return all(not Path(path).exists() or times(Path(path)) == known for path, known in files.items())


def times(path: Path) -> list[int]:
    """Size and modification time of a file."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _export(spec: DataSpec, cache: Path) -> Path:
    if spec.name not in DATASETS:
        known = ", ".join(DATASETS)
        raise DataError(
            f"torchvision's {spec.name!r} is not known here; known are {known}. "
            f"For others, save the images in one directory for each class and use `source: folder`"
        )
    root = Path(spec.path).expanduser().absolute() if spec.path else cache / "torchvision"
    directory = cache / "exports" / f"{spec.name}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"
    with locked(cache, directory.name):
        if not _is_whole(directory):
            with writing(cache), replacing(directory) as fresh:
                _start(spec.name, root, fresh)
    return directory


def _is_whole(directory: Path) -> bool:
    document = _read(directory)
    return document.get("schema_version") == EXPORT_VERSION and unchanged(document["files"])


def _read(directory: Path) -> dict[str, Any]:
    try:
        document = json.loads((directory / "export.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _start(name: str, root: Path, output: Path) -> None:
    # -P keeps modules in the working directory from taking the place of libraries.
    command = [sys.executable, "-P", "-m", "benchmark.training.torchvision_data", name, str(root), str(output)]
    child = subprocess.run(command, env=_environment(), capture_output=True, check=False)
    if child.returncode == 0:
        return
    error = output / "error.txt"
    tail = child.stderr.decode(errors="replace").strip()[-2000:]
    text = error.read_text(encoding="utf-8") if error.exists() else tail
    raise DataError(
        f"torchvision's {name} is not in {root} and could not be made ready there: {text}\nRun this once on a machine "
        f"with a network and copy its files to {root}, or set `path` to a directory that holds torchvision's files"
    )


def _environment() -> dict[str, str]:
    """The child has to find this package also when it runs from a clone."""
    here = str(Path(benchmark.__file__).parents[1])
    given = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([here, given] if given else [here])}


def write_export(directory: Path, classes: list[str], files: Mapping[str, list[int]]) -> None:
    """Called by the child when the arrays are written: the document that says so."""
    write_json(
        directory / "export.json",
        {"schema_version": EXPORT_VERSION, "classes": classes, "files": dict(sorted(files.items()))},
    )
    sync_directory(directory)
