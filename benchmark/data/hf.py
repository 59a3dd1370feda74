"""The source ``hf``: a data set of the library ``datasets`` (the extra ``hf``), saved in a folder or from its hub.

    {source: hf, path: ./saved}                 what ``save_to_disk`` wrote
    {source: hf, name: "org/name"}              from the hub; "org/name:configuration@revision" for one of several

The library runs in a child process (``hf_export.py``), which copies the image files, as they are, into an export; that
of a folder is made again when the folder has changed, that of the hub once for each name.
"""

from __future__ import annotations

from pathlib import Path

from benchmark.data import child
from benchmark.data.arrays import shares
from benchmark.data.datacache import DataError
from benchmark.data.exports import Export, export, named
from benchmark.data.imageset import ImageSet, arrange
from benchmark.data.listed import refuse_untrained
from benchmark.data.packed import PackedImages
from benchmark.run import DataSpec


def load(spec: DataSpec, cache: Path) -> ImageSet:
    """The images of ``spec.path``, or else of ``spec.name``; ids are their split and their row in it.

    Raises:
        DataError: the library is missing, or the data set cannot be had or used.
    """
    found = _export(spec, cache)
    images, given, labels = PackedImages(found.directory, list(found.parts)), found.given, found.labels
    refuse_untrained(_place(spec), [(int(part), found.classes[each]) for part, each in zip(given, labels, strict=True)])
    twins = [images.fingerprint(index) for index in range(len(labels))] if spec.duplicates == "refuse" else None
    try:
        return arrange(images, labels, found.numbers, given, found.classes, shares(spec), twins)
    except DataError as error:
        raise DataError(f"{_place(spec)}: {error}") from error


def stamp(spec: DataSpec, cache: Path) -> str:
    """Changes when the data set does."""
    return _export(spec, cache).stamp


def _export(spec: DataSpec, cache: Path) -> Export:
    place, columns = _place(spec), (spec.image_column, spec.label_column)

    def make(output: Path) -> None:
        kind = "folder" if spec.path else "hub"
        try:
            child.run("benchmark.data.hf_export", kind, place, *columns, output=output)
        except DataError as error:
            raise DataError(f"{place}: {error}") from error

    return export(cache, named(Path(place).name, place, *columns), make)


def _place(spec: DataSpec) -> str:
    return str(Path(spec.path).expanduser().absolute()) if spec.path else spec.name
