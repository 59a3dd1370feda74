"""Paths that a YAML file names."""

from __future__ import annotations

import os
from pathlib import Path


def under(directory: Path, path: str) -> Path:
    """``path``, where it is relative from ``directory``, with ``~`` expanded; a ``~user`` that nobody is stays as it
    is, and is not found then."""
    return directory / os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser raises RuntimeError for these
