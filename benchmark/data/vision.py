"""The source ``torchvision``: its data sets by the name of their class, made ready by a child process.

Torch is imported only there (``benchmark/training/torchvision_data.py``).  Sets that are arrays are kept as an export
(``exports.py``); of those that are image files only the list is kept, and the files are read where they lie.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from benchmark.data import child
from benchmark.data.arrays import shares
from benchmark.data.datacache import DataError
from benchmark.data.exports import Export, export, named
from benchmark.data.filetable import scan
from benchmark.data.folder import FileImages
from benchmark.data.imageset import ArrayImages, ImageSet, arrange
from benchmark.data.layout import printable
from benchmark.data.vision_sets import DATASETS
from benchmark.run import DataSpec


def load(spec: DataSpec, cache: Path) -> ImageSet:
    """The data set ``spec.name``; ids are ``train/`` or ``test/`` and its number there, or its file's path.

    Raises:
        DataError: an unknown name, files that are neither there nor can be downloaded, or an unwritable cache.
    """
    found = _export(spec, cache)
    if found.kind == "paths":
        return _files(spec, cache, found)
    images = ArrayImages(found.images)
    return arrange(images, found.labels, found.numbers, found.given, found.classes, shares(spec), notes=found.notes)


def stamp(spec: DataSpec, cache: Path) -> str | None:
    """Changes when the files of the data set do; ``None`` where each image is a file that is looked at."""
    found = _export(spec, cache)
    return found.stamp if found.kind == "arrays" else None


def _files(spec: DataSpec, cache: Path, found: Export) -> ImageSet:
    root, paths = _root(spec, cache), found.paths
    facts = scan(root, paths, cache)
    ids = [printable(path.relative_to(root).as_posix()) for path in paths]
    images, twins = FileImages(tuple(paths), tuple(facts)), [each.sha256 for each in facts]
    return arrange(images, found.labels, ids, found.given, found.classes, shares(spec), twins, found.notes)


def _export(spec: DataSpec, cache: Path) -> Export:
    if spec.name not in DATASETS:
        near = get_close_matches(spec.name.lower(), [each.lower() for each in DATASETS], n=1)
        meant = [each for each in DATASETS if [each.lower()] == near]
        guess = f" (did you mean {meant[0]}?)" if meant else ""
        raise DataError(
            f"torchvision's {spec.name!r} is not known here{guess}; known are {', '.join(DATASETS)}. "
            "For others, save the images in one directory for each class and use `source: folder`"
        )
    root = _root(spec, cache)

    def make(output: Path) -> None:
        try:
            child.run("benchmark.training.torchvision_data", spec.name, str(root), output=output)
        except DataError as error:
            raise DataError(
                f"torchvision's {spec.name} is not in {root} and could not be made ready there: {error}\nRun this once "
                f"on a machine with a network and copy its files to {root}, or set `path` to a directory that holds "
                "torchvision's files"
            ) from error

    return export(cache, named(spec.name, root), make)


def _root(spec: DataSpec, cache: Path) -> Path:
    return Path(spec.path).expanduser().absolute() if spec.path else cache.absolute() / "torchvision"
