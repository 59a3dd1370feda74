"""What a simulated job leaves behind: the files of a given run directory, as if it had made them itself.

Its epochs come one after the other, evenly over the job's time, with the times of the jobs' clock; the rest comes at
the end, ``result.json`` with the id of the run that the job is tagged with.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from launch.rehearsal.tree import Tree

EVENTS = "events.jsonl"
RUN_TAG = "torch-image-benchmark:run"
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

    def of(self, tree: Tree, seconds: float) -> Outputs:
        """Those of one attempt at a job that takes so many seconds in all."""
        return Outputs(self, tree, seconds)


class Outputs:
    """What the first host of an attempt writes."""

    def __init__(self, made_up: MadeUp, tree: Tree, seconds: float) -> None:
        self._made_up, self._tree, self._seconds, self._ended = made_up, tree, seconds, False
        self._events = tree.checkpoints / EVENTS
        self._written = self._events.read_bytes().count(b"\n") if self._events.exists() else 0
        tree.log.write_text(f"goes on after epoch {self._written}\n", encoding="utf-8")

    @property
    def done(self) -> float:
        """Seconds of work in the epochs that are there."""
        return self._seconds * self._written / len(self._made_up.epochs)

    def write(self, left: float, now: float) -> None:
        """What is there by now, ``left`` seconds before the end; ``now`` is in seconds since the epoch."""
        count = len(self._made_up.epochs)
        due = min(count, int((1 - left / self._seconds) * count))
        if due > self._written:
            with self._events.open("a", encoding="utf-8") as file:
                for epoch in self._made_up.epochs[self._written : due]:
                    file.write(json.dumps({**epoch, "time": now}) + "\n")
            self._written = due
        if left <= 0 and not self._ended:
            self._ended = True
            self._finish(now)

    def _finish(self, now: float) -> None:
        data = self._tree.ml / "output/data"
        for name, content in self._made_up.files.items():
            (data / name).write_bytes(content)
        tags = {each["Key"]: each["Value"] for each in self._tree.job.request.get("Tags", ())}
        times = {"started": now - self._seconds, "finished": now}
        result = {**self._made_up.result, **times, "run_id": tags.get(RUN_TAG, "")}
        (data / "result.json").write_text(json.dumps(result), encoding="utf-8")
        (self._tree.ml / "model" / MODEL).write_bytes(self._made_up.model)
