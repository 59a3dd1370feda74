"""The source ``s3``: a folder of images in S3, kept in the cache and read as the source ``folder`` reads it.

Layout, below ``s3/`` in the cache; the digits are those of the address::

    <16 digits>/       the images, under their keys; names with a leading dot are downloads that have not ended
    <16 digits>.json   of which object each file is the content: size, ETag, and the file's time of modification

S3 is asked for its listing once in a process, and for the images that are new or have changed; what is not in the
listing is removed.  A file counts only with its entry in the document, which is written after it.  Without an answer
from S3 there are no data: what is in the cache may no longer be what lies there.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Collection, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from benchmark.data import folder
from benchmark.data.address import Address, unsafe
from benchmark.data.datacache import VARIABLE, DataError, locked, writing
from benchmark.data.images import Pixels
from benchmark.data.imageset import ImageSet
from benchmark.data.layout import SUFFIXES, UNREAD, is_visible
from benchmark.data.telling import counted
from benchmark.durable import write_json
from benchmark.run import DataSpec

if TYPE_CHECKING:
    from launch.aws_objects import Objects, Stored

LIST_VERSION = 1
THREADS, WINDOW = 8, 1024
"""Downloads at a time, and how many wait for a thread."""
SAVE_SECONDS = 30.0
"""So much of a long download is at most done again after the process was killed."""
NAMED = 5


@dataclass(frozen=True)
class Kept:
    """A file of the cache: the object whose content it is, and its time of modification in nanoseconds."""

    size: int
    etag: str
    modified: int

    def is_content_of(self, stored: Stored) -> bool:
        return (self.size, self.etag) == (stored.size, stored.etag)

    def is_at(self, path: Path) -> bool:
        """Whether the file is there as it was written."""
        try:
            stat = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return (stat.st_size, stat.st_mtime_ns) == (self.size, self.modified)


@dataclass(frozen=True)
class FetchedImages(folder.FileImages):
    """Images in the cache, which errors call by their addresses."""

    root: Path
    address: Address

    def naming(self) -> AbstractContextManager[None]:
        return _named(self.root, self.address)

    def pixels(self, index: int) -> Pixels:
        with self.naming():
            return super().pixels(index)


def load(spec: DataSpec, cache: Path) -> ImageSet:
    """The images below the address ``spec.path``.

    Raises:
        DataError: S3 does not give them, or they break a rule of a folder; addresses are named, not files of the cache.
    """
    try:
        address = Address.parse(spec.path)
    except ValueError as error:
        raise DataError(f"path {error}") from error
    root = fetched(address, cache)
    with _named(root, address):
        data = folder.load(replace(spec, source="folder", path=str(root)), cache)
    assert isinstance(data.images, folder.FileImages)
    return replace(data, images=FetchedImages(data.images.paths, data.images.facts, root, address))


@functools.cache
def fetched(address: Address, cache: Path) -> Path:
    """The directory with the images below ``address``, as they were when this process first asked for them.

    Raises:
        DataError: S3 does not give them, a key cannot be a file, or the cache cannot be written.
    """
    from launch import aws_objects  # imports boto3

    digits = hashlib.sha256(f"{address.bucket}/{address.prefix}".encode()).hexdigest()[:16]
    root = cache.absolute() / "s3" / digits
    with locked(cache, f"s3-{digits}"), aws_objects.opened(address) as objects:
        listed = _images(address, objects.listing())
        with writing(cache):
            _Mirror(root, objects, listed).update()
    return root


@dataclass(frozen=True)
class _Mirror:
    """The directory of an address, which is brought to what ``listed`` says; for one process at a time."""

    root: Path
    objects: Objects
    listed: Mapping[str, Stored]

    def update(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        before = self._read()
        kept = {key: each for key, each in before.items() if self._is_whole(key, each)}
        _remove_others(self.root, kept)
        missing = [key for key in self.listed if key not in kept]
        self._refuse_too_much(missing)
        try:
            self._fetch(missing, kept)
        finally:
            if kept != before:
                self._save(kept)
        for key, each in kept.items():
            if not each.is_at(self.root / key):
                raise DataError(
                    f"{self.objects.address}: {key!r} and another key are one file here; rename one of them"
                )

    def _fetch(self, missing: list[str], kept: dict[str, Kept]) -> None:
        """Adds what is missing to ``kept``."""
        saved = time.monotonic()
        with closing(self._downloads(missing)) as found:
            for key, each in counted(found, len(missing), "downloading images"):
                kept[key] = each
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._save(kept)
                    saved = time.monotonic()

    def _downloads(self, missing: list[str]) -> Generator[tuple[str, Kept], None, None]:
        """As they come; after the first that fails no other is begun, and it raises when those that are have ended."""
        with ThreadPoolExecutor(THREADS) as pool:
            for start in range(0, len(missing), WINDOW):
                futures = [pool.submit(self._download, key) for key in missing[start : start + WINDOW]]
                failed: Future[tuple[str, Kept]] | None = None
                for each in as_completed(futures):
                    if each.cancelled():
                        continue
                    if each.exception() is None:
                        yield each.result()
                    elif failed is None:
                        failed = each
                        for other in futures:
                            other.cancel()
                if failed:
                    failed.result()

    def _download(self, key: str) -> tuple[str, Kept]:
        path, partly, stored = self.root / key, self.root / f".{secrets.token_hex(8)}", self.listed[key]
        try:
            self.objects.download(key, stored, partly)
            path.parent.mkdir(parents=True, exist_ok=True)
            partly.replace(path)
        finally:
            partly.unlink(missing_ok=True)
        return key, Kept(stored.size, stored.etag, path.stat().st_mtime_ns)

    def _is_whole(self, key: str, kept: Kept) -> bool:
        return key in self.listed and kept.is_content_of(self.listed[key]) and kept.is_at(self.root / key)

    def _refuse_too_much(self, missing: list[str]) -> None:
        size, free = sum(self.listed[key].size for key in missing), shutil.disk_usage(self.root).free
        if size > free:
            raise DataError(
                f"{self.objects.address}: {size / 1e9:.1f} GB are to be downloaded, and {free / 1e9:.1f} GB are free "
                f"in {self.root.parent.parent}; free some space there, or set {VARIABLE}"
            )

    @property
    def _document(self) -> Path:
        return self.root.with_name(f"{self.root.name}.json")

    def _save(self, kept: Mapping[str, Kept]) -> None:
        files = {key: list(asdict(each).values()) for key, each in kept.items()}
        address = str(self.objects.address)
        write_json(self._document, {"schema_version": LIST_VERSION, "address": address, "files": files}, indent=None)

    def _read(self) -> dict[str, Kept]:
        """Nothing where there is no document yet, or it is broken: then all is downloaded anew."""
        try:
            document = json.loads(self._document.read_text(encoding="utf-8"))
            if (document["schema_version"], document["address"]) != (LIST_VERSION, str(self.objects.address)):
                return {}
            return {key: Kept(*each) for key, each in document["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


def _images(address: Address, listed: Mapping[str, Stored]) -> dict[str, Stored]:
    """The objects that a folder would take for images."""
    if not listed:
        raise DataError(f"{address}: nothing lies there; correct `path`")
    found = {key: each for key, each in listed.items() if _suffix(key) in SUFFIXES | UNREAD}
    _refuse(address, "keys that cannot be files here", {key: why for key in found if (why := unsafe(key))})
    found = {key: each for key, each in found.items() if all(map(is_visible, key.split("/")))}
    unread = [key for key in found if _suffix(key) in UNREAD]
    _refuse(address, "images of kinds that are not read; convert to PNG or JPEG", dict.fromkeys(unread, ""))
    directories = {parent for key in found for parent in _parents(key)}
    both = [key for key in found if key in directories]
    _refuse(address, "keys that are files and directories at once; rename them", dict.fromkeys(both, ""))
    return found


def _refuse(address: Address, what: str, keys: Mapping[str, str]) -> None:
    """Raises, where there are any, with some keys and what is wrong with each."""
    if keys:
        some = ", ".join(f"{key!r} {why}".rstrip() for key, why in list(keys.items())[:NAMED])
        more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
        raise DataError(f"{address}: {what}: {some}{more}")


def _suffix(key: str) -> str:
    return PurePosixPath(key).suffix.lower()


def _parents(key: str) -> Iterator[str]:
    while key := key.rpartition("/")[0]:
        yield key


def _remove_others(root: Path, keep: Collection[str]) -> None:
    """Removes all files but ``keep``, and directories that are empty then; no link is followed."""
    start = len(os.path.join(root, ""))  # noqa: PTH118 - a Path for each of a million files takes seconds
    for directory, directories, files in os.walk(root, topdown=False):
        links = [each for each in directories if Path(directory, each).is_symlink()]
        for path in (f"{directory}/{each}" for each in [*files, *links]):
            if path[start:] not in keep:
                os.unlink(path)  # noqa: PTH108 - as above
        if directory != str(root) and not os.listdir(directory):  # noqa: PTH208 - as above
            os.rmdir(directory)  # noqa: PTH106 - as above


@contextmanager
def _named(root: Path, address: Address) -> Iterator[None]:
    """Errors of a folder name the addresses of its files."""
    try:
        yield
    except DataError as error:
        raise DataError(str(error).replace(str(root), str(address))) from error
