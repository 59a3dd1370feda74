"""The code that a job in a container or in AWS is given: an allow-list, so that nothing else ever travels with it.

The training program, the ground floor that it stands on, the scripts that start it, and the sources of plug-ins that
have a part in jobs; no symbolic link is followed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from benchmark import plugins

HOME = Path(__file__).resolve().parent.parent
CODE = (
    "benchmark/__init__.py",
    "benchmark/durable.py",
    "benchmark/failpoints.py",
    "benchmark/machine.py",
    "benchmark/metric_names.py",
    "benchmark/plainfile.py",
    "benchmark/plugins.py",
    "benchmark/records.py",
    "benchmark/run.py",
    "benchmark/rundir.py",
    "benchmark/weights.py",
    "benchmark/data/__init__.py",
    "benchmark/data/checks.py",
    "benchmark/data/datacache.py",
    "benchmark/data/images.py",
    "benchmark/data/imageset.py",
    "benchmark/data/prepared.py",
    "benchmark/data/rows.py",
    "benchmark/data/shards.py",
    "benchmark/data/splits.py",
    "benchmark/data/telling.py",
    "benchmark/training/*.py",
    "launch/bootstrap.py",
    "launch/requirements.txt",
    "launch/train_models.py",
)
"""Patterns under the directory that holds our packages."""


def files() -> Iterator[str]:
    """The names of the files, in order, relative to :data:`HOME`."""
    for pattern in CODE:
        for path in sorted(HOME.glob(pattern)):
            name = path.relative_to(HOME)
            if path.is_file() and not any((HOME / each).is_symlink() for each in (name, *name.parents[:-1])):
                yield name.as_posix()


def contents() -> Iterator[tuple[str, bytes]]:
    """Name and content of each file, those of plug-ins included."""
    for name in files():
        yield name, (HOME / name).read_bytes()
    yield from plugins.shipped()


def digest() -> str:
    """SHA-256 over names and contents, in hexadecimal."""
    found = hashlib.sha256()
    for name, content in contents():
        found.update(f"{name}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


def write(directory: Path) -> None:
    """Copies the code into ``directory``, which is made."""
    for name, content in contents():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def archive() -> bytes:
    """The code as ``.tar.gz``: the same bytes for the same code, with no more of this machine than the files."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in contents():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
