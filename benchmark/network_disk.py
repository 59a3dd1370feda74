"""Network file systems: whether a directory lies on one, and what does not hold there.

The locks that keep two sweeps apart reach other machines only where the mount takes them there (NFS with ``nolock`` or
``local_lock``, and Lustre with ``localflock``, do not), and what SQLite's write-ahead log shares between processes it
shares on one machine only.
"""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
KINDS = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "ceph", "gpfs", "beegfs", "glusterfs", "afs", "pvfs2", "weka",
        "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone",
        "fuse.goofys", "fuse.mount-s3", "fuse.blobfuse2", "fuse.juicefs",
    }
)  # fmt: skip
"""As Linux names them."""
REMEDY = "give all commands on one machine only; a local disk (--results) is safer"


def kind(directory: Path) -> str | None:
    """The kind of network file system on which ``directory``, there or not yet, lies; ``None`` for a local one, and
    where nothing tells."""
    place, found = directory.absolute().resolve(), ("", "")
    for point, name in _mounts():
        if place.is_relative_to(point) and len(point) >= len(found[0]):  # of equal ones the later lies above
            found = (point, name)
    return found[1] if found[1] in KINDS else None


def caution(directory: Path) -> str | None:
    """What a user is told of a directory with a journal or a store, or ``None``."""
    name = kind(directory)
    return f"{directory} is on a network file system ({name}): {REMEDY}" if name else None


def _mounts() -> list[tuple[str, str]]:
    """Where something is mounted, and of which kind it is."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    return [(_plain(fields[1]), fields[2]) for line in lines if len(fields := line.split(" ")) > 2]


def _plain(text: str) -> str:
    """The kernel writes spaces and such as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
