"""A checkpoint: all that training goes on from, as a value and as a file.

A file is a header (magic, version of the format, SHA-256 of the rest) and what ``torch.save`` writes.  The digest is
there because ``torch.load`` does not notice a flipped bit.  Nothing is unpickled but tensors and plain values.

The order of images is a function of (seed, epoch), so that no sampler has a state.
"""

from __future__ import annotations

import hashlib
import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import torch

from benchmark.rundir import BrokenFile

MAGIC, VERSION = b"benchckp", 2
HEADER = struct.Struct("<8sI32s")
State = dict[str, Any]

_UNREADABLE = (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, pickle.UnpicklingError, struct.error)


@dataclass(frozen=True)
class Checkpoint:
    """What training is after ``epoch`` and ``step`` steps of the next.

    ``seconds`` were spent training; ``random`` is of :mod:`benchmark.training.random_state`, ``best`` the selection's,
    ``average`` that of the weights (:mod:`benchmark.training.averaging`), ``within`` the pass that is not over
    (:mod:`benchmark.training.progress`; empty where ``step`` is 0), the others are torch's ``state_dict``.
    """

    epoch: int
    step: int
    seconds: float
    model: State
    optimizer: State
    schedule: State
    scaler: State
    average: State
    random: State
    best: State
    within: State

    @property
    def evaluated(self) -> State:
        """The network that was evaluated: its state."""
        average: State | None = self.average.get("model")
        return average or self.model


@dataclass(frozen=True)
class Saved:
    """A checkpoint in a file: who made it (the run, versions of libraries, the device), and what the run's attempts
    have cost until then (``cost/…`` names)."""

    checkpoint: Checkpoint
    maker: Mapping[str, str]
    spent: Mapping[str, float]


def write(saved: Saved, file: IO[bytes]) -> None:
    """Writes the format; the header again when the digest is known."""
    payload = {"checkpoint": vars(saved.checkpoint), "maker": dict(saved.maker), "spent": dict(saved.spent)}
    writer = _Digesting(file)
    file.write(HEADER.pack(MAGIC, VERSION, bytes(32)))
    try:
        torch.save(payload, cast("IO[bytes]", writer))
    except RuntimeError as error:
        raise writer.problem or error from None
    file.seek(0)
    file.write(HEADER.pack(MAGIC, VERSION, writer.digest.digest()))


def read(path: Path) -> Saved:
    """What :func:`write` wrote, its tensors in the memory of the CPU.

    Raises:
        BrokenFile: the file is unreadable, truncated, changed or of another version.
    """
    try:
        payload = _payload(path)
        return Saved(Checkpoint(**payload["checkpoint"]), payload["maker"], payload["spent"])
    except _UNREADABLE as error:
        raise BrokenFile(f"{path}: not a checkpoint: {error}") from error


def _payload(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        magic, version, digest = HEADER.unpack(file.read(HEADER.size))
        if (magic, version) != (MAGIC, VERSION):
            raise ValueError(f"it begins with {magic!r} and version {version}")
        if hashlib.file_digest(file, "sha256").digest() != digest:
            raise ValueError("its SHA-256 is not the one in its header")
        file.seek(HEADER.size)
        payload: Mapping[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    return payload


class _Digesting:
    """A file that keeps the SHA-256 of what is written to it, and what went wrong in writing: torch turns any error of
    its file into a RuntimeError of its own."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.problem: BaseException | None = None

    def write(self, part: bytes) -> int:
        try:
            self.digest.update(part)
            return self._file.write(part)
        except BaseException as error:
            self.problem = error
            raise

    def flush(self) -> None:
        self._file.flush()
