"""Copies of a folder's files in S3, kept up to date while a program writes them."""

from __future__ import annotations

from pathlib import Path

from launch.rehearsal.storage import Storage, joined

Stamp = tuple[int, int]


class Mirror:
    """New and changed files are uploaded; what was deleted stays in S3, unless ``deletions`` are mirrored too.

    A file that changes while it is read is left for the next time: the program may not have finished it.
    """

    def __init__(self, directory: Path, uri: str, storage: Storage, *, deletions: bool = False) -> None:
        self._directory, self._uri, self._storage, self._deletions = directory, uri, storage, deletions
        self._known = {path: stamp for path in _files(directory) if (stamp := _stamp(path))}
        self.uploaded = 0
        """How many files have been uploaded so far."""

    def sync(self) -> None:
        """Uploads what has changed since the last time."""
        for path in [each for each in self._known if self._deletions and not each.exists()]:
            self._storage.delete(self._place(path))
            del self._known[path]
        for path in _files(self._directory):
            stamp = _stamp(path)
            if stamp is not None and stamp != self._known.get(path):
                self._upload(path, stamp)

    def _upload(self, path: Path, stamp: Stamp) -> None:
        try:
            content = path.read_bytes()
        except OSError:
            return  # renamed or removed since it was listed
        if stamp != _stamp(path):
            return
        self._storage.put(content, self._place(path))
        self._known[path] = stamp
        self.uploaded += 1

    def _place(self, path: Path) -> str:
        return joined(self._uri, path.relative_to(self._directory).as_posix())


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
