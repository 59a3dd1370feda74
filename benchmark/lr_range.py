"""``lr``: a learning rate for each model and recipe of an experiment, from a range test of some seconds.

The test itself runs in a child process (:mod:`benchmark.training.lr_range`), on the images that the run would train on,
one configuration after the other, so that this process stays without torch.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import weights
from benchmark.children import command, environment
from benchmark.durable import atomic
from benchmark.labels import labels
from benchmark.planned import Found
from benchmark.preparing import Decoded
from benchmark.run import Run

BELOW_LOWEST = 10.0
"""The rate that is suggested is so many times smaller than that of the lowest loss, where the loss still falls."""
_NO_MATTER: dict[str, Any] = {
    "lr": 1e-3,
    "seed": 0,
    "epochs": 1,
    "schedule": "constant",
    "warmup_epochs": 0.0,
    "early_stopping": None,
}
"""Keys that do not change the test."""


@dataclass(frozen=True)
class Curve:
    """One configuration's test: the smoothed loss of a step at each rate, or why there is none."""

    label: str
    rates: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    error: str = ""

    @property
    def lowest(self) -> float:
        """The rate of the lowest loss."""
        return self.rates[min(range(len(self.losses)), key=self.losses.__getitem__)]

    @property
    def suggested(self) -> float:
        return self.lowest / BELOW_LOWEST

    @property
    def words(self) -> str:
        if self.error:
            return f"{self.label}: {self.error}"
        ends = f"the loss is lowest at {self.lowest:.1e}, and was followed to {self.rates[-1]:.1e}"
        return f"{self.label}: lr {self.suggested:.1e} ({ends})"


def curves(found: Found, steps: int) -> Iterator[Curve]:
    """The curve of every configuration that differs in more than its rate and length, as they come."""
    runs = list(_different([cell.run for cell in found.cells]))
    names = {run_id: name.rpartition(" · ")[0] for run_id, name in labels(runs).items()}
    for run, answer in zip(runs, _answers(runs, steps), strict=True):
        rates, losses = tuple(answer.get("rates", ())), tuple(answer.get("losses", ()))
        yield Curve(names[run.run_id], rates, losses, answer.get("error", ""))


def write(found: Sequence[Curve], directory: Path) -> Path:
    """``lr_range.csv``: every curve, a line for each step."""
    path = directory / "lr_range.csv"
    directory.mkdir(parents=True, exist_ok=True)
    lines = [(each.label, *pair) for each in found for pair in zip(each.rates, each.losses, strict=True)]
    text = io.StringIO()
    csv.writer(text).writerows([("configuration", "lr", "loss"), *lines])
    with atomic(path) as file:
        file.write(text.getvalue().encode())
    return path


def _different(runs: Sequence[Run]) -> Iterator[Run]:
    """One of each that would be tested alike, with the first one's keys."""
    first: dict[Run, Run] = {}
    for run in runs:
        first.setdefault(dataclasses.replace(run, **_NO_MATTER), run)
    yield from first


def _answers(runs: Sequence[Run], steps: int) -> Iterator[Mapping[str, Any]]:
    decoded = Decoded()
    requests = [
        {"run": run.to_json(), "data": str(decoded(run)), "weights": (place := weights.channel(run)) and str(place)}
        for run in runs
    ]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as told,
        subprocess.Popen(
            command("benchmark.training.lr_range"),
            env=environment(),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
        ) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(BrokenPipeError), child.stdin as asking:
            asking.write(json.dumps({"steps": steps, "requests": requests}))
        count = 0
        for line in child.stdout:
            count += 1
            yield json.loads(line)
        code = child.wait()
        told.seek(0)
        last = next((each.strip() for each in reversed(told.readlines()) if each.strip()), "it was killed")
    for _ in runs[count:]:
        yield {"error": f"the test ended with exit status {code}: {last}"}
