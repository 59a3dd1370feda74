"""Names that are safe everywhere: in a path, in an address, in a shell.  Ground floor: standard library only."""

from __future__ import annotations

import re

LENGTH = 63
_SLUG = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,{LENGTH - 1}}}")


def is_slug(name: str) -> bool:
    """1 to 63 of a-z, 0-9, ``.``, ``_`` and ``-``, a letter or digit first."""
    return _SLUG.fullmatch(name) is not None


def slug(text: str, otherwise: str, length: int = LENGTH) -> str:
    """A slug that resembles ``text``, or ``otherwise`` where nothing of it can stay."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:length] or otherwise
