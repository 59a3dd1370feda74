"""Where the images of a folder lie: one directory for each class.

Rules:

* The class directories lie directly in the folder, or in ``train/`` and, where they are, ``val/`` (also ``valid/``,
  ``validation/``) and ``test/``.  The folder is taken as split when it has a ``train/`` that holds directories but no
  images of its own; a class may therefore be called "train".
* An image belongs to the class directory it is in, at any depth.  Class names are the directories' names, in Unicode's
  composed form (NFC), sorted.
* Images are the files with one of the suffixes below, in any case.  Hidden files and directories (a leading dot),
  ``__MACOSX`` and files with other suffixes are no images and are passed over; images of kinds that are not read
  (``.heic``, ``.avif`` ...), and images in no class directory, are errors, so that none is left out unnoticed.
* Links are followed.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.data.datacache import DataError
from benchmark.data.splits import NAMES, TEST, TRAIN, VAL
from benchmark.visible import one_line

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
)
UNREAD = frozenset((".heic", ".heif", ".avif", ".jp2", ".jxl", ".psd", ".svg"))
SPLITS = {"train": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "test": TEST}


@dataclass(frozen=True)
class ImageFile:
    """``id`` is its path in the folder, with ``/`` and in composed form."""

    path: Path
    id: str
    class_name: str
    split: int


def listing(root: Path) -> list[ImageFile]:
    """Every image of the folder, ordered by its id.

    Raises:
        DataError: the folder breaks a rule of the module.
    """
    if not root.is_dir():
        raise DataError(f"{root}: {'not a directory' if root.exists() else 'no such directory'}; correct `path`")
    try:
        files = _split_files(root) if _is_split(root) else _class_files(root, root, TRAIN)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be listed: {error.strerror}") from error
    if not files:
        raise DataError(f"{root}: no images found; expected one directory for each class, with files {_suffixes()}")
    _refuse_unknown_classes(root, files)
    return sorted(files, key=lambda each: each.id)


def passed_over(root: Path) -> Counter[str]:
    """Suffix -> how many files below the folder are no images, and not hidden; odd suffixes count together."""
    found: Counter[str] = Counter()
    for _, directories, files in os.walk(root):
        directories[:] = filter(is_visible, directories)
        suffixes = map(_suffix, filter(is_visible, files))
        found.update(_plain(suffix) for suffix in suffixes if suffix not in SUFFIXES)
    return found


def is_visible(name: str) -> bool:
    """Whether a file or directory of this name is looked at."""
    return not name.startswith(".") and name != "__MACOSX"


def _is_split(root: Path) -> bool:
    names = {each.name for each in _directories(root)}
    train = root / "train"
    if "train" in names and not _images_in(train) and _directories(train):
        return True
    if names and names <= SPLITS.keys():
        raise DataError(f"{root}: has {', '.join(sorted(names))} but no class directories in train/; add them there")
    return False


def _split_files(root: Path) -> list[ImageFile]:
    directories = [each for each in _directories(root) if each.name in SPLITS or any(_walk(each))]
    foreign = [each.name for each in directories if each.name not in SPLITS]
    if foreign:
        raise DataError(f"{root}: beside train/ there can only be val/ and test/, not {', '.join(foreign)}")
    parts = [SPLITS[each.name] for each in directories]
    if parts.count(VAL) > 1:
        raise DataError(f"{root}: has several of val/, valid/ and validation/; keep one")
    _refuse_loose(root)
    files = []
    for directory, part in zip(directories, parts, strict=True):
        found = _class_files(root, directory, part)
        if not found:
            raise DataError(f"{directory}: no images found; add some, or remove the directory")
        files += found
    return files


def _class_files(root: Path, parent: Path, part: int) -> list[ImageFile]:
    _refuse_loose(parent)
    start = len(os.path.join(root, ""))  # noqa: PTH118 - keeps a slash that ends the root
    files: list[ImageFile] = []
    names: dict[str, Path] = {}
    for directory in _directories(parent):
        name = printable(directory.name)
        if name in names:
            raise DataError(f"{parent}: two directories are called {name!r}, in different Unicode forms; merge them")
        names[name] = directory
        found = [ImageFile(path, printable(str(path)[start:]), name, part) for path in _walk(directory)]
        if not found and part == TRAIN:
            raise DataError(f"{directory}: no images found in this class; add some, or remove the directory")
        files += found
    return files


def _refuse_loose(directory: Path) -> None:
    loose = _images_in(directory)
    if loose:
        some = ", ".join(each.name for each in loose[:5])
        more = f" and {len(loose) - 5} more" if len(loose) > 5 else ""
        raise DataError(
            f"{directory}: images in no class directory: {some}{more}; move each into its class's directory, "
            "or, where this is the directory of one class, give the one above it"
        )


def _refuse_unknown_classes(root: Path, files: Sequence[ImageFile]) -> None:
    trained = {each.class_name for each in files if each.split == TRAIN}
    unknown = sorted({(NAMES[each.split], each.class_name) for each in files if each.class_name not in trained})
    if unknown:
        names = ", ".join(f"{name!r} ({part})" for part, name in unknown)
        raise DataError(f"{root}: classes without training images: {names}")


def _walk(directory: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """The images at any depth; ``above`` are the real directories on the way, so that a link cannot lead in circles."""
    here = os.path.realpath(directory)
    if here in above:
        raise DataError(f"{directory}: a link that leads to a directory above itself; remove it")
    directories, images = _contents(directory)
    yield from images
    for each in directories:
        yield from _walk(each, above | {here})


def _directories(directory: Path) -> list[Path]:
    return _contents(directory)[0]


def _images_in(directory: Path) -> list[Path]:
    return _contents(directory)[1]


def _contents(directory: Path) -> tuple[list[Path], list[Path]]:
    """The directories and the images directly in a directory."""
    with os.scandir(directory) as entries:
        visible = [each for each in entries if is_visible(each.name)]
    directories = sorted(each.name for each in visible if each.is_dir())
    files = sorted((each.name, _suffix(each.name)) for each in visible if not each.is_dir())
    unread = [name for name, suffix in files if suffix in UNREAD]
    if unread:
        raise DataError(f"{directory}: images of kinds that are not read: {', '.join(unread)}; convert to PNG or JPEG")
    images = [directory / name for name, suffix in files if suffix in SUFFIXES]
    return [directory / name for name in directories], images


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path for each of a million files takes seconds


def _plain(suffix: str) -> str:
    known = suffix.isascii() and suffix[1:].isalnum() and len(suffix) <= 12
    return suffix if known else "of other names" if suffix else "without a suffix"


def _suffixes() -> str:
    return " ".join(sorted(SUFFIXES))


def printable(name: str) -> str:
    """In composed form, on one line, and printable even where a name is not UTF-8."""
    return one_line(unicodedata.normalize("NFC", os.fsencode(name).decode(errors="backslashreplace")))
