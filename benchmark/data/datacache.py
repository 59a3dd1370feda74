"""The cache of decoded data: where it is, how it is shared by several processes, and what is said when it fails.

Standard library only.  Everything below the cache directory can be deleted at any time and is made again::

    files.db          what is known of each image file, by its path, size and times    (filetable.py)
    facts/            what is known of each data set that is not a folder               (datasets.py)
    data/             decoded images, one directory a data set, size and policy         (prepared.py)
    s3/               images that lie in S3, one directory an address                   (s3.py)
    torchvision/      torchvision's own raw files, where no other path is given         (vision.py)
    exports/          data sets of other libraries, as arrays                           (exports.py)
    models/           what is known of each model                                       (../catalogue.py)
    weights/          pretrained weights, and where they came from                      (../weights.py, ../obtaining.py)
    features/         what frozen backbones make of the images                          (../training/features.py)
    probes/           how long steps of a run take on this machine                      (../probes.py)
    profiles/         the speed of each model on this machine                           (../profiles.py)
    forecasts/        how long earlier runs took                                        (../timing.py)
    mlflow/           an empty store of each version of MLflow                          (../mlflow_making.py)
    mlflow-servers/   who serves which store                                            (../mlflow_server.py)
    mlflow-artifacts/ what `report --from-mlflow` has fetched                           (../mlflow_evidence.py)
    locks/            one empty file for each thing that is being made
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "TORCH_IMAGE_BENCHMARK_CACHE"


class DataError(Exception):
    """The data cannot be used; the message names the place and the remedy."""


def cache_directory() -> Path:
    """``$TORCH_IMAGE_BENCHMARK_CACHE``, else ``torch-image-benchmark`` under ``$XDG_CACHE_HOME`` or ``~/.cache``;
    absolute, and not made yet."""
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    # The XDG specification says that a relative path in the variable is to be ignored.
    parent = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return parent / "torch-image-benchmark"


@contextmanager
def writing(cache: Path) -> Iterator[None]:
    """Turns what the operating system says of a full or unwritable cache into a clear error.

    Raises:
        DataError: anything in the block raised OSError.
    """
    try:
        yield
    except OSError as error:
        remedy = f"free some space there, or set {VARIABLE} to a directory that can be written"
        raise DataError(f"{cache}: the cache cannot be written: {error}; {remedy}") from error


@contextmanager
def locked(cache: Path, name: str) -> Iterator[None]:
    """One process at a time; the others wait.  The lock of a process that dies is free at once."""
    with writing(cache):
        (cache / "locks").mkdir(parents=True, exist_ok=True)
        handle = os.open(cache / "locks" / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A new directory that takes ``target``'s place, whole, when the block ends; what stood there goes.  Only for one
    process at a time (:func:`locked`), which is why left-overs of one that died can be removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    fresh.mkdir()
    try:
        yield fresh
        if target.exists():
            target.rename(target.with_name(f".{target.name}.old"))
        fresh.rename(target)
    finally:
        for each in (fresh, target.with_name(f".{target.name}.old")):
            shutil.rmtree(each, ignore_errors=True)
