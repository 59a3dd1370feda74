"""A data set of torchvision from files that are there, or else downloaded.

torchvision compares files with the MD5 of what it would download and refuses others, such as copies that were packed
anew (Debian's Fashion-MNIST) or cut down.  Files that are there are taken all the same where they can be read, and a
note says so: the digest of the images, which is part of each run's identity, tells which they are.  Pickles (CIFAR)
that are not the known ones are read without the power to run code.
"""

from __future__ import annotations

import gzip
import inspect
import io
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmark.data.datacache import DataError
from benchmark.durable import atomic

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
HARMLESS = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}
"""What a pickled array refers to."""


def dataset(kind: str, root: Path, arguments: Mapping[str, Any]) -> tuple[Any, str]:
    """torchvision's data set of the class ``kind``, and a note on it (empty: none).

    Raises:
        DataError: its files are not there, or cannot be read, and could not be downloaded.
    """
    import torchvision.datasets

    if kind == "ImageNet" and _is_plain_folders(root):
        return torchvision.datasets.ImageFolder(str(root / arguments["split"])), ""
    make = getattr(torchvision.datasets, kind)
    takes_download = "download" in inspect.signature(make).parameters
    quiet = {"download": False} if takes_download else {}
    reasons = []
    try:
        return make(root, **quiet, **arguments), ""
    except Exception as error:  # its readers raise what their formats make of a broken file
        reasons.append(_words(error))
    try:
        with _taking_what_is_there(make):
            return make(root, **quiet, **arguments), f"{kind}: the files are not those that torchvision downloads (MD5)"
    except Exception as error:
        reasons.append(_words(error))
    return _downloaded(make, root, arguments, takes_download, reasons), ""


def unpack_archives(kind: str, root: Path) -> None:
    """Sets of the kind of MNIST: archives that lie under ``root``, and Debian's copy of Fashion-MNIST."""
    raw = root / kind / "raw"
    for source in (raw, *([DEBIAN] if kind == "FashionMNIST" else [])):
        unpack(source, raw)


def unpack(source: Path, raw: Path) -> None:
    """The ``.gz`` files of ``source`` to where torchvision looks for them unpacked, unless they are there."""
    for packed in sorted(source.glob("*-ubyte.gz")):
        if not (raw / packed.stem).exists():
            with atomic(raw / packed.stem) as file, gzip.open(packed) as content:
                while part := content.read(2**20):
                    file.write(part)


def _downloaded(make: Any, root: Path, arguments: Mapping[str, Any], takes_download: bool, reasons: list[str]) -> Any:
    try:
        if not takes_download:
            raise DataError("it cannot be downloaded by a program")
        root.mkdir(parents=True, exist_ok=True)
        return make(root, download=True, **arguments)
    except Exception as error:
        found = " and ".join(dict.fromkeys(reasons))
        raise DataError(f"what was found there: {found}; download: {_words(error)}") from error


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"


def _is_plain_folders(root: Path) -> bool:
    """Only ``train/`` and ``val/`` of ImageNet, without the development kit that has the classes' names."""
    kit = (root / "meta.bin", root / "ILSVRC2012_devkit_t12.tar.gz")
    return all((root / each).is_dir() for each in ("train", "val")) and not any(each.exists() for each in kit)


@contextmanager
def _taking_what_is_there(make: Any) -> Iterator[None]:
    """torchvision's checks ask only whether a file is there, and its pickles are read by our reader."""
    modules = [sys.modules[each.__module__] for each in make.__mro__ if each.__module__.startswith("torchvision.")]
    ours = {"check_integrity": _is_there, "pickle": SimpleNamespace(load=_load)}
    places = [(module, name) for module in dict.fromkeys(modules) for name in ours if hasattr(module, name)]
    before = [getattr(module, name) for module, name in places]
    try:
        for module, name in places:
            setattr(module, name, ours[name])
        yield
    finally:
        for (module, name), value in zip(places, before, strict=True):
            setattr(module, name, value)


def _is_there(path: str | Path, md5: str | None = None) -> bool:
    return Path(path).is_file()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in HARMLESS:
            raise DataError(f"a pickle refers to {module}.{name}, which no data set needs: it is not read")
        return super().find_class(module, name)


def _load(file: io.BufferedReader, encoding: str = "ASCII") -> Any:
    return _Unpickler(file, encoding=encoding).load()
