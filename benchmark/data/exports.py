"""Images that others hold in files of their own (archives, pickles, tables), turned into what can be mapped and listed.

An export is a directory in the cache's ``exports``, made again when one of the files that it was made of has changed::

    export.json          written last: classes, the kind of the parts, and the files read with their sizes and times
    <part>_labels.npy    int64 (n,); the parts are ``train``, and ``val`` and ``test`` where the source has them
    <part>_images.npy    kind "arrays": uint8 (n, height, width, channels), or
    <part>_paths.json    kind "paths": where the image files lie, absolute, in order, or
    <part>_files.bin     kind "packed": image files one after the other, and <part>_files.npy, what is known of them
                         (``packed.py``)
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmark.data.datacache import DataError, locked, replacing, writing
from benchmark.data.layout import printable
from benchmark.data.rows import Joined
from benchmark.data.splits import NAMES, Assignment, Labels
from benchmark.durable import sync_directory, write_json

EXPORT_VERSION = 2
"""Raised when the format changes, or when something else is made of the same files."""

Kind = Literal["arrays", "paths", "packed"]
Files = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Export:
    """A complete export; ``parts`` in the order training, validation, test, with the number of images of each."""

    directory: Path
    kind: Kind
    classes: tuple[str, ...]
    parts: Mapping[str, int]
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> Labels:
        """Of all images, part after part: int64 (n,)."""
        found: Labels = np.concatenate([np.load(self.directory / f"{part}_labels.npy") for part in self.parts])
        return found

    @property
    def given(self) -> Assignment:
        """The split of each image that its part is."""
        numbers = [NAMES.index(part) for part in self.parts]
        return np.repeat(np.array(numbers, dtype=np.int8), list(self.parts.values()))

    @property
    def images(self) -> Joined:
        """Of the kind "arrays": all of them, mapped."""
        return Joined([np.load(self.directory / f"{part}_images.npy", mmap_mode="r") for part in self.parts])

    @property
    def paths(self) -> list[Path]:
        """Of the kind "paths": all of them."""
        documents = [(self.directory / f"{part}_paths.json").read_text(encoding="utf-8") for part in self.parts]
        return [Path(path) for each in documents for path in json.loads(each)]

    @property
    def numbers(self) -> list[str]:
        """An id for each image: its part and its number there."""
        return [f"{part}/{number:05d}" for part, count in self.parts.items() for number in range(count)]

    @property
    def stamp(self) -> str:
        """Changes when the export is made of other files."""
        return hashlib.sha256((self.directory / "export.json").read_bytes()).hexdigest()


def export(cache: Path, name: str, make: Callable[[Path], None]) -> Export:
    """The export ``name``, which ``make`` fills where it is missing or its files have changed.

    Raises:
        DataError: what ``make`` raises, or the cache cannot be written.
    """
    directory = cache / "exports" / name
    with locked(cache, name):
        known = _read(directory)
        if known is None or not unchanged(known["files"]):
            with writing(cache), replacing(directory) as fresh:
                make(fresh)
            known = _read(directory)
    if known is None:
        raise DataError(f"{directory}: broken; delete it and run the command again")
    return Export(directory, known["kind"], tuple(known["classes"]), known["parts"], tuple(known["notes"]))


def write(
    directory: Path,
    kind: Kind,
    classes: Sequence[str],
    labels: Mapping[str, Labels],
    files: Files,
    notes: Sequence[str] = (),
) -> None:
    """Ends the making of an export: labels, then the document that says that all is there.

    Args:
        labels: part -> int64 (n,).
        files: what the export was made of (:func:`times`).
        notes: what a user should know of the data.

    Raises:
        DataError: two classes look alike.
    """
    names = [printable(each) for each in classes]
    alike = next((name for name, count in Counter(names).items() if count > 1), None)
    if alike is not None:
        raise DataError(f"two classes are both written {alike!r}: give them names that differ in what can be seen")
    parts = {part: len(labels[part]) for part in NAMES if part in labels}
    for part in parts:
        np.save(directory / f"{part}_labels.npy", labels[part].astype(np.int64))
    document: dict[str, Any] = {"kind": kind, "classes": names, "parts": parts, "notes": list(notes)}
    document["files"] = {path: list(files[path]) for path in sorted(files)}
    write_json(directory / "export.json", {"schema_version": EXPORT_VERSION, **document})
    sync_directory(directory)


def unchanged(files: Files) -> bool:
    """Whether the files are as they were.  One that has gone does not count: the export stands for it."""
    return all(not Path(path).exists() or times(Path(path)) == list(known) for path, known in files.items())


def times(path: Path) -> list[int]:
    """Size and modification time of a file; of a directory its time alone, for sizes of directories say nothing."""
    stat = path.stat()
    return [0 if path.is_dir() else stat.st_size, stat.st_mtime_ns]


def named(label: str, *places: str | os.PathLike[str]) -> str:
    """A name for an export of what lies at some places."""
    digits = hashlib.sha256(b"\0".join(os.fsencode(place) for place in places)).hexdigest()[:12]
    return f"{''.join(each if each.isalnum() or each in '-_.' else '_' for each in label)[:60]}-{digits}"


def _read(directory: Path) -> dict[str, Any] | None:
    """``None`` where there is none, or a broken one, or one of another version."""
    try:
        document = json.loads((directory / "export.json").read_text(encoding="utf-8"))
        if document["schema_version"] != EXPORT_VERSION or not document["parts"]:
            return None
        return {name: document[name] for name in ("kind", "classes", "parts", "notes", "files")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
