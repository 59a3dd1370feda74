"""Pretrained weights as values: which are wanted, what is known of them, and where they lie.

Standard library only, because launchers and jobs import it.  The cache has, for each set of weights::

    weights/<sha256>/weights.safetensors    tensors by the names that the model itself gives them
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from benchmark.data.datacache import cache_directory
from benchmark.run import Run

FILE = "weights.safetensors"
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
"""Of files of weights; any other text is a tag."""


@dataclass(frozen=True)
class WeightsSpec:
    """Weights for a network.  ``source`` is empty for the library's own, else an absolute path or a tag of timm's;
    ``model_args`` is the canonical JSON of the mapping, ``image_size`` in pixels."""

    model: str
    model_args: str
    source: str
    image_size: int
    channels: int
    classes: int


@dataclass(frozen=True)
class WeightsFacts:
    """What is known of weights: the SHA-256 of their file in the cache, and how the model that they come from wants its
    images.

    ``mean`` and ``std`` have a value for each channel of its input, in units where white is 1; empty where nobody
    knows.  ``crop_pct`` is the share of a resized image's side that it sees.  With an ``error`` there are no weights.
    """

    digest: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    interpolation: str = "bilinear"
    crop_pct: float = 1.0
    error: str | None = None


def is_file(source: str) -> bool:
    """Whether the text names a file rather than a tag."""
    return source.endswith(SUFFIXES) or "/" in source


def directory(digest: str, cache: Path) -> Path:
    """Where the weights of this digest lie."""
    return cache / "weights" / digest


def channel(run: Run) -> Path | None:
    """The directory that a job of ``run`` is given as its channel ``weights``; ``None`` where it needs none."""
    return directory(run.weights_digest, cache_directory()) if run.weights_digest else None


def sha256(path: Path) -> str:
    """Of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
