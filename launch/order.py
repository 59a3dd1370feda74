"""What a worker process is given, and how it travels to the fork server."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Order:
    """A worker to be made.  ``attempt`` is its working directory, where ``log.txt`` is; ``cores`` may be empty."""

    entry: Path
    environment: dict[str, str]
    attempt: Path
    cores: tuple[int, ...]

    def write(self) -> int:
        """A file in memory with the order, which may hold secrets of the environment; to be closed by the caller."""
        handle = os.memfd_create("order")
        document = [str(self.entry), self.environment, str(self.attempt), self.cores]
        with os.fdopen(os.dup(handle), "w", encoding="utf-8") as file:
            json.dump(document, file)
        return handle

    @classmethod
    def read(cls, handle: int) -> Order:
        """The order in such a file."""
        os.lseek(handle, 0, os.SEEK_SET)
        with os.fdopen(os.dup(handle), encoding="utf-8") as file:
            entry, environment, attempt, cores = json.load(file)
        return cls(Path(entry), environment, Path(attempt), tuple(cores))
