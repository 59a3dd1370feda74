"""How fast the models are: measured by jobs of their own when nothing else runs, and kept for this machine.

A profile depends on the network, its input, the batch, the threads, the device, the libraries and the machine, not on
weights or data; so one serves every seed and every experiment.  It is kept in the cache, as a run directory under its
key.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.records import LIBRARIES
from benchmark.run import DataSpec, Run, canonical_json
from benchmark.rundir import BrokenFile, RunDir

VERSION = 1
"""Raised when the measurement changes."""


@dataclass(frozen=True)
class Profiles:
    """The profiles in ``cache``; ``classes`` says how many classes each data set has, ``image`` in which image jobs run
    (empty: with this machine's own libraries)."""

    cache: Path
    classes: Mapping[DataSpec, int]
    image: str = ""

    def key(self, run: Run) -> str:
        """Equal for runs whose speed is the same."""
        document = {
            "version": VERSION,
            "model": [run.model, dict(run.model_args), self.classes[run.data]],
            "input": [run.image_size, run.channels, run.eval_batch_size],
            "how": [run.threads, run.device],
            **here(),
            **({"image": self.image} if self.image else {}),
        }
        return hashlib.sha256(canonical_json(document).encode()).hexdigest()[:16]

    def place(self, run: Run) -> RunDir:
        """Where the job that measures works, and the profile is kept."""
        return RunDir(self.cache / "profiles" / self.key(run))

    def known(self, run: Run) -> Mapping[str, float | None] | None:
        """The profile; empty where it was tried and failed; ``None`` where it was not tried yet."""
        place = self.place(run)
        try:
            return place.read_profile() or ({} if place.read_failure() else None)
        except BrokenFile:
            return None

    def groups(self, runs: Sequence[Run]) -> list[list[Run]]:
        """``runs`` of equal speed together."""
        found: dict[str, list[Run]] = {}
        for run in runs:
            found.setdefault(self.key(run), []).append(run)
        return list(found.values())


@functools.cache
def here() -> Mapping[str, object]:
    """What speed depends on beside the run."""
    return {
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "machine": [platform.node(), platform.machine(), platform.processor()],
    }
