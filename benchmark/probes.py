"""How long steps of a model take on this machine: measured once by a child process, and kept in the cache.

A probe depends on the network, its input, the batches, the optimizer, the augmentation, the threads, the device, the
libraries and the machine.  It is taken while other work may run, and is for forecasts only; the leaderboard's speeds
are :mod:`benchmark.profiles`'.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark import children
from benchmark.children import command
from benchmark.durable import write_json
from benchmark.profiles import here
from benchmark.run import DataSpec, Run, canonical_json

PROBING_SECONDS = 60.0
"""For all probes of a plan; what is not measured by then has a coarser forecast."""
VERSION = 1
KEYS = (
    "model", "model_args", "image_size", "channels", "share", "optimizer", "optimizer_args", "augment",
    "clip_grad", "threads", "device", "policy", "mixup", "cutmix", "ema_decay", "test_flip", "precision", "accumulate",
    "compile", "memory_format", "dropout", "drop_path",
)  # fmt: skip
"""Of a run: what the time of its steps depends on, for one process, which does its share of a batch."""


@dataclass(frozen=True)
class Probe:
    """Seconds of one training step, and of one image's evaluation."""

    step: float
    image: float


@dataclass(frozen=True)
class Probes:
    """The probes in ``cache``; ``classes`` says how many classes each data set has."""

    cache: Path
    classes: Mapping[DataSpec, int]

    def key(self, run: Run) -> str:
        """Equal for runs whose steps take equally long."""
        values = {name: getattr(run, name) for name in KEYS}
        plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
        frozen = {"freeze": run.freeze} if run.freeze != "none" and run.unfreeze_epoch is None else {}
        document = {"version": VERSION, "classes": self.classes[run.data], **plain, **frozen, **here()}
        return hashlib.sha256(canonical_json(document).encode()).hexdigest()[:16]

    def known(self, run: Run) -> Probe | None:
        """The probe, or ``None`` where none was taken, or it failed."""
        try:
            document = json.loads(self._path(self.key(run)).read_text(encoding="utf-8"))
            return Probe(float(document["step"]), float(document["image"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def of(self, runs: Iterable[Run]) -> dict[str, Probe]:
        """Run id -> probe, of those that have one; each file is read once."""
        runs_of: dict[str, list[Run]] = {}
        for run in runs:
            runs_of.setdefault(self.key(run), []).append(run)
        found = {key: self.known(alike[0]) for key, alike in runs_of.items()}
        return {run.run_id: probe for key, probe in found.items() if probe for run in runs_of[key]}

    def missing(self, runs: Iterable[Run]) -> list[Run]:
        """One run of each kind that was not tried yet, in the order of ``runs``."""
        first: dict[str, Run] = {}
        for run in runs:
            first.setdefault(self.key(run), run)
        return [run for key, run in first.items() if not self._path(key).exists()]

    def take(self, runs: Sequence[Run], environment: Callable[[int], Mapping[str, str]]) -> Iterator[int]:
        """Measures ``runs``; yields how many are done, as they come, for at most :data:`PROBING_SECONDS`.

        Args:
            environment: the variables of a process of so many threads.
        """
        threads = sorted({run.threads for run in runs})
        for count in threads:
            some = [run for run in runs if run.threads == count]
            yield from self._take(some, {**os.environ, **environment(count)}, PROBING_SECONDS / len(threads))

    def _take(self, runs: Sequence[Run], variables: Mapping[str, str], seconds: float) -> Iterator[int]:
        requests = [{"key": self.key(run), "run": run.to_json(), "classes": self.classes[run.data]} for run in runs]
        with subprocess.Popen(
            command("benchmark.training.probe"), env=children.environment(variables), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as child:  # fmt: skip
            alarm = threading.Timer(seconds, child.kill)
            alarm.start()
            try:
                assert child.stdin is not None
                assert child.stdout is not None
                with contextlib.suppress(BrokenPipeError), child.stdin as requesting:
                    requesting.write(json.dumps(requests))
                yield from map(self._keep, child.stdout)
            finally:
                alarm.cancel()
                child.kill()

    def _keep(self, line: str) -> int:
        answer = json.loads(line)
        write_json(self._path(answer.pop("key")), answer)
        return 1

    def _path(self, key: str) -> Path:
        return self.cache / "probes" / f"{key}.json"
