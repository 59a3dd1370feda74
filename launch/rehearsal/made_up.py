"""What a simulated job leaves behind: the files of a given run directory, as if its runs had made them themselves.

A run's epochs come one after the other, evenly over its time, with the times of the jobs' clock; the rest comes at its
end, ``result.json`` with its id.  Runs that share a job take turns, and each leaves what the program of such a job
(``benchmark.training.pack``) has it leave, there where that does.
"""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launch.aws_member import OUTPUTS as ENDED
from launch.aws_results import SECONDS
from launch.rehearsal.tree import Tree

EVENTS, LOG = "events.jsonl", "log.txt"
OUTPUTS = ("predictions.npz", "evaluation.json", "profile.json")
MODEL = "model.safetensors"


class MadeUp:
    """The files of ``directory``, which is laid out as :mod:`benchmark.rundir` says; read once."""

    def __init__(self, directory: Path) -> None:
        lines = (directory / "checkpoint" / EVENTS).read_text(encoding="utf-8").splitlines()
        self.epochs: list[dict[str, Any]] = [json.loads(each) for each in lines]
        self.result: dict[str, Any] = json.loads((directory / "result.json").read_text(encoding="utf-8"))
        self.files = {name: (directory / name).read_bytes() for name in OUTPUTS if (directory / name).exists()}
        self.model = (directory / MODEL).read_bytes()

    def of(self, tree: Tree, seconds: Mapping[str, float], *, shared: bool) -> Outputs:
        """Those of one attempt at a job whose runs take so many seconds; whether they share it as a pack does."""
        kind = _SharedPart if shared else _Part
        return Outputs([kind(self, tree, run_id, each) for run_id, each in seconds.items()])


class Outputs:
    """What the first host of an attempt writes."""

    def __init__(self, parts: list[_Part]) -> None:
        self._parts = parts

    @property
    def seconds(self) -> float:
        """Of all runs."""
        return sum(each.seconds for each in self._parts)

    @property
    def done(self) -> float:
        """Seconds of work in what is there."""
        return sum(each.done for each in self._parts)

    def write(self, left: float, now: float) -> None:
        """What is there by now, ``left`` seconds before the end; ``now`` is in seconds since the epoch."""
        ran = self.seconds - left if left > 0 else math.inf
        for each in self._parts:
            if ran < 0:
                return
            each.write(min(ran, each.seconds), now)
            ran -= each.seconds


@dataclass
class _Part:
    """The one run of a job."""

    made_up: MadeUp
    tree: Tree
    run_id: str
    seconds: float
    _written: int = field(init=False)
    _ended: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        events = self.checkpoints / EVENTS
        self._written = events.read_bytes().count(b"\n") if events.exists() else 0

    @property
    def checkpoints(self) -> Path:
        return self.tree.checkpoints

    @property
    def done(self) -> float:
        return self.seconds * self._written / len(self.made_up.epochs)

    def write(self, ran: float, now: float) -> None:
        """What is there after the first ``ran`` seconds."""
        if self._ended:
            return
        count = len(self.made_up.epochs)
        due = min(count, int(ran / self.seconds * count))
        if due > self._written:
            with (self.checkpoints / EVENTS).open("a", encoding="utf-8") as file:
                for epoch in self.made_up.epochs[self._written : due]:
                    file.write(json.dumps({**epoch, "time": now}) + "\n")
            self._written = due
        if ran >= self.seconds:
            self._ended = True
            self.finish(now)

    def finish(self, now: float) -> None:
        """Puts everything there."""
        for name, content in self.documents(now).items():
            (self.tree.ml / "output/data" / name).write_bytes(content)
        (self.tree.ml / "model" / MODEL).write_bytes(self.made_up.model)

    def documents(self, now: float) -> dict[str, bytes]:
        """Name -> content of its outputs."""
        times = {"started": now - self.seconds, "finished": now}
        result = {**self.made_up.result, **times, "run_id": self.run_id}
        return {**self.made_up.files, "result.json": json.dumps(result).encode()}


class _SharedPart(_Part):
    """One of several runs of a job."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._ended = (self.checkpoints / ENDED).exists()

    @property
    def checkpoints(self) -> Path:
        return super().checkpoints / self.run_id

    @property
    def done(self) -> float:
        return self.seconds if self._ended else super().done

    def write(self, ran: float, now: float) -> None:
        self.checkpoints.mkdir(exist_ok=True)
        if not (self.checkpoints / SECONDS).exists():
            self._put(SECONDS, b"0.0")
        super().write(ran, now)

    def finish(self, now: float) -> None:
        spent = json.dumps(self.seconds).encode()
        self._put(SECONDS, spent)
        left = {**self.documents(now), MODEL: self.made_up.model, LOG: b"simulated\n", SECONDS: spent}
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, content in left.items():
                about = tarfile.TarInfo(name)
                about.size = len(content)
                tar.addfile(about, io.BytesIO(content))
        self._put(ENDED, packed.getvalue())

    def _put(self, name: str, content: bytes) -> None:
        """Whole: what lies here is mirrored to S3 meanwhile."""
        fresh = self.tree.directory / f"{self.run_id}-{name}"
        fresh.write_bytes(content)
        fresh.replace(self.checkpoints / name)
