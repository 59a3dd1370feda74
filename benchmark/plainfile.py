"""Files that are written in place, which every other file is not: locks, logs, lists of epochs.

Standard library only; jobs import it.  An experiment's directory may have come from somebody else, or lie where others
can write: what its names point to is not written.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


def opened(path: Path | str, flags: int) -> int:
    """The descriptor of a file, made if missing, where ``path`` itself is no symbolic link.

    Raises:
        OSError: it is one, or cannot be opened; the message names it.
    """
    try:
        return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "is a symbolic link, and is not written: remove it", str(path)) from None
