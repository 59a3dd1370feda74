"""``export RUN``: the network of a finished run as one file, with its preprocessing, class names and description.

The file is made and tried by a child process (:mod:`benchmark.training.export`), so that this one stays without torch.
It appears under its name when it has given the run's own answers on test images, or not at all; beside it lies a JSON
file that says how a picture becomes an input.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmark import words
from benchmark.boards import board
from benchmark.children import command, environment
from benchmark.choosing import choose, label_of
from benchmark.data import prepared
from benchmark.described import described
from benchmark.durable import sync_directory, write_json
from benchmark.planned import planned
from benchmark.preparing import Decoded, UsageProblem
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.weights import sha256
from reports.leaderboard import Entry

Format = Literal["onnx", "torch"]
SUFFIXES: Mapping[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}
NEEDED: Mapping[Format, tuple[str, ...]] = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch": ()}
TAIL = 2000
"""Characters of what a child process that died had to say."""


class LibraryMissing(Exception):
    """A library that the format needs is not installed."""


class ExportFailed(Exception):
    """The network cannot be written in the format, or the file does not give the run's answers."""


@dataclass(frozen=True)
class Exported:
    """A file that was written and tried, and what it says of itself."""

    path: Path
    description: Path
    label: str
    document: Mapping[str, Any]

    @property
    def lines(self) -> list[str]:
        """For people."""
        tried = self.document["checked"]
        size = self.path.stat().st_size / 1e6
        other = f", another class first for {tried['other']}" if tried["other"] else ", the same class first for all"
        images = f"tried on {tried['images']} test images"
        return [
            f"{self.label}, seed {self.document['seed']} (run {self.document['run_id'][:6]})",
            f"{images}: log-probabilities within {tried['largest']:.1e} of the recorded ones{other}",
            f"model: {self.path} ({size:.1f} MB, {len(self.document['classes'])} classes)",
            f"how a picture becomes its input: {self.description}",
        ]


def export(
    name: str, experiment: Path | None, settings: Sequence[str], results: Path, kind: Format | None, out: Path | None
) -> Exported:
    """Writes the network of the run that ``name`` stands for (:func:`benchmark.choosing.choose`).

    Args:
        kind: by default what the name of ``out`` says, else ``onnx``.
        out: by default ``exported/`` beside the runs.

    Raises:
        ConfigError, DataError: what is wrong with the experiment.
        UsageProblem: there is no such run, it has no weights, or ``out`` does not fit.
        LibraryMissing: of the extra ``onnx``.
        ExportFailed: no file was written; the message says why.
    """
    kind = _kind(kind, out)
    check_libraries(kind)
    found = planned(experiment, settings, results)
    seen = board(found.plan, words.command(experiment, settings, "run"))
    entry = choose(seen, name)
    _must_have_weights(entry)
    path = out or found.plan.directory / "exported" / f"{_slug(entry.run)}{SUFFIXES[kind]}"
    return _write(entry, label_of(seen, entry), found.plan.experiment.name, kind, path)


def check_libraries(kind: Format) -> None:
    """
    Raises:
        LibraryMissing: one is not installed; the message has the remedy.
    """
    if missing := [name for name in NEEDED[kind] if importlib.util.find_spec(name) is None]:
        raise LibraryMissing(
            f"--format {kind} needs {' and '.join(missing)}: `pip install 'torch-image-benchmark[onnx]'`, or in "
            "a clone `pip install --constraint constraints.txt '.[onnx]'`; --format torch needs nothing more"
        )


def _kind(kind: Format | None, out: Path | None) -> Format:
    if out is None:
        return kind or "onnx"
    if out.is_dir():
        raise UsageProblem(f"--out {out}: is a directory; name a file in it")
    fitting = [each for each, suffix in SUFFIXES.items() if out.suffix == suffix]
    if not fitting or kind not in (None, *fitting):
        wanted = SUFFIXES[kind] if kind else " or ".join(SUFFIXES.values())
        raise UsageProblem(f"--out {out}: the file's name has to end in {wanted}")
    return fitting[0]


def _must_have_weights(entry: Entry) -> None:
    assert entry.directory is not None
    weights = RunDir(entry.directory).model
    if not weights.exists():
        raise UsageProblem(
            f"run {entry.run.run_id} has no weights any more ({weights} is missing): "
            f"`python -m benchmark rm {entry.run.run_id[:6]}`, then `run`, trains it again"
        )


def _slug(run: Run) -> str:
    """A file's name, of any model's name."""
    return f"{re.sub(r'[^A-Za-z0-9_.]+', '-', run.model).strip('-.')}-{run.run_id[:6]}"


def _write(entry: Entry, label: str, experiment: str, kind: Format, path: Path) -> Exported:
    """The file and its description, in that directory whole or not at all, the file last."""
    data = Decoded()(entry.run)
    document = described(entry, label, experiment, kind, prepared.read(data))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}.") as place:
        made = Path(place) / path.name
        checked = _make(entry, data, kind, made, document)
        whole = {**document, "file": path.name, "sha256": sha256(made), "checked": checked}
        write_json(path.with_suffix(".json"), whole)
        made.replace(path)
    sync_directory(path.parent)
    return Exported(path, path.with_suffix(".json"), label, whole)


def _make(entry: Entry, data: Path, kind: Format, made: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """Has the file ``made``, and tried; how well it agrees."""
    assert entry.result is not None
    answer = made.with_name("answer.json")
    request = {
        "run": entry.run.to_json(), "rundir": str(entry.directory), "data": str(data), "format": kind,
        "output": str(made), "document": document, "device": entry.result.environment.get("device", "cpu"),
        "answer": str(answer),
    }  # fmt: skip
    child = subprocess.run(
        command("benchmark.training.export"), env=environment(),
        input=json.dumps(request), text=True, errors="replace", capture_output=True, check=False,
    )  # fmt: skip
    if not answer.exists():
        tail = child.stderr.strip()[-TAIL:]
        raise ExportFailed(f"the export ended with exit status {child.returncode}: {tail or 'it was killed'}")
    found = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in found:
        raise ExportFailed(f"run {entry.run.run_id} ({entry.run.model}): {found['error']}; no file was written")
    return dict(found["agreement"])
