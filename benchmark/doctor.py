"""`doctor`: what this machine has, what is missing, and what to do about it.  Nothing is started or installed."""

from __future__ import annotations

import configparser
import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from benchmark import config, mlflow_store, network_disk, room, weights
from benchmark.config import ConfigError, Experiment
from benchmark.config.experiment import LaunchSettings
from benchmark.data.datacache import cache_directory
from benchmark.installed import HERE
from benchmark.machine import available_memory, usable_cores
from launch import engine, is_remote
from launch.engine import IMAGE

DISTRIBUTION = "torch-image-benchmark"
PYTHON = (3, 11)
ENOUGH = 2 * 2**30
"""Bytes free on disk below which a sweep may soon stop."""
SECONDS = 300
"""That torch may take: a cold disk is slow."""
_ACCELERATORS = (
    "import json, torch; cuda = torch.cuda; print(json.dumps({'cuda': [cuda.get_device_name(each) for each in "
    "range(cuda.device_count())] if cuda.is_available() else [], 'mps': torch.backends.mps.is_available()}))"
)

Status = Literal["ok", "missing", "wrong"]
"""``missing`` is needed for some modes or runs only; ``wrong`` is in the way of every run."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found and, where it is not ``ok``, the remedy."""

    name: str
    status: Status
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.status:<7}  {self.name}: {self.found}{remedy}"


@dataclass(frozen=True)
class Examination:
    """Everything that was found."""

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether runs in the experiment's mode are possible."""
        return all(each.status != "wrong" for each in self.findings)

    @property
    def lines(self) -> list[str]:
        return [str(each) for each in self.findings]

    @property
    def document(self) -> list[dict[str, Any]]:
        return [vars(each) for each in self.findings]


def examine(path: Path, results: Path) -> Examination:
    """Looks at everything that the runs of the experiment in ``path`` need, with results kept in ``results``."""
    experiment = _read(path)
    mode = "fast_local" if isinstance(experiment, Finding) else experiment.launch.mode
    tracking = None if isinstance(experiment, Finding) else experiment.tracking.uri
    found = f"{path}: {experiment.name}, mode {mode}" if isinstance(experiment, Experiment) else ""
    return Examination(
        (
            experiment if isinstance(experiment, Finding) else Finding("experiment", "ok", found),
            _python(),
            _packages(),
            _torch(),
            _machine(),
            _disk("results", results),
            _disk("cache", cache_directory()),
            _mlflow(tracking),
            _docker(None if isinstance(experiment, Finding) else experiment.launch, needed=mode == "local"),
            *([] if isinstance(experiment, Finding) else _weights(experiment)),
            *_aws(None if isinstance(experiment, Finding) else experiment),
        )
    )


def _read(path: Path) -> Experiment | Finding:
    try:
        return config.load(path)
    except ConfigError as error:
        return Finding("experiment", "wrong", str(error.problems[0]), "`python -m benchmark validate` tells all of it")


def _python() -> Finding:
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info < PYTHON:
        return Finding("Python", "wrong", found, f"Python {PYTHON[0]}.{PYTHON[1]} or newer is needed")
    return Finding("Python", "ok", found)


def _packages() -> Finding:
    """The installed libraries against what we are tested with."""
    wrong = [_complaint(each) for each in _requirements()]
    told = [each for each in wrong if each]
    if told:
        remedy = "install again in a virtual environment of its own: `pip install --constraint constraints.txt .`"
        return Finding("packages", "wrong", ", ".join(told), remedy)
    names = ("torch", "torchvision", "timm", "mlflow", "sagemaker")
    return Finding("packages", "ok", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names))


def _requirements() -> Iterator[Requirement]:
    """What was declared when this was installed; in a clone that is not, what is declared now."""
    try:
        texts = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        declared = configparser.ConfigParser()
        declared.read(HERE.parent / "setup.cfg")
        texts = declared["options"]["install_requires"].split()
    return (each for each in map(Requirement, texts) if each.marker is None or each.marker.evaluate({"extra": ""}))


def _complaint(requirement: Requirement) -> str | None:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    fits = requirement.specifier.contains(version, prereleases=True)
    return None if fits else f"{requirement.name} {version} is not {requirement.specifier}"


def _torch() -> Finding:
    """In a process of its own: importing torch takes seconds, and may fail in ways that end a process."""
    ask = [sys.executable, "-P", "-c", _ACCELERATORS]
    try:
        done = subprocess.run(ask, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        slow = f"importing it takes more than {SECONDS} s"
        return Finding("torch", "wrong", slow, "look whether the disk, or a driver of a GPU, answers")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Finding("torch", "wrong", f"cannot be imported: {last}", "install torch and torchvision again")
    there = json.loads(done.stdout.splitlines()[-1])
    devices = [*there["cuda"], *["Apple GPU (mps)"] * there["mps"]]
    return Finding("torch", "ok", f"GPU: {', '.join(devices)}" if devices else "no GPU; runs take the processor")


def _machine() -> Finding:
    memory = available_memory() / 2**30
    number = usable_cores()
    return Finding("machine", "ok", f"{number} core{'s' * (number != 1)}, {memory:.1f} GiB of memory free")


def _disk(name: str, directory: Path) -> Finding:
    there = next(each for each in (directory.absolute(), *directory.absolute().parents) if each.exists())
    try:
        room.check([there])
    except room.NoRoom as error:
        return Finding(f"disk for {name}", "wrong", str(error))
    free = room.free(there)
    found = f"{free / 2**30:.1f} GiB free for {directory}"
    if free < ENOUGH:
        return Finding(f"disk for {name}", "wrong", found, "free some space, or choose another disk")
    network = network_disk.kind(directory)
    if network:
        return Finding(f"disk for {name}", "ok", f"{found}, on a network ({network})", network_disk.REMEDY)
    return Finding(f"disk for {name}", "ok", found)


def _mlflow(tracking: str | None) -> Finding:
    uri = mlflow_store.default_uri(Path.cwd(), tracking)
    shown = mlflow_store.redact(uri)
    if (path := mlflow_store.sqlite_path(uri)) is not None:
        return Finding("MLflow", "ok", f"{shown}, {'there' if path.exists() else 'made by the first run'}")
    if mlflow_store.answers(uri):
        return Finding("MLflow", "ok", f"{shown} answers")
    remedy = "start it, or set MLFLOW_TRACKING_URI; runs go on without it, and `sync` publishes them later"
    return Finding("MLflow", "missing", f"{shown} does not answer", remedy)


def _docker(launch: LaunchSettings | None, *, needed: bool) -> Finding:
    """The image counts where it is needed, or named; that of mode aws need not be on this machine."""
    named = launch.image if launch and not is_remote(launch.mode) else None
    image = named or (IMAGE if needed else None)
    found = engine.find(image)
    if isinstance(found, engine.Missing):
        remedy = found.remedy if needed else f"{found.remedy} (for mode local only)"
        return Finding("Docker", "wrong" if needed else "missing", found.what, remedy)
    return Finding("Docker", "ok", f"engine {found.server}, compose {found.compose}{f', image {image}' * bool(image)}")


def _weights(experiment: Experiment) -> Iterator[Finding]:
    """Of pretrained models, where there are any; nothing is downloaded, and files are read by `plan`."""
    wanted = {(cell.run.model, cell.run.pretrained) for cell in experiment.cells if cell.run.pretrained}
    files = {source for _, source in wanted if isinstance(source, str) and weights.is_file(source)}
    if away := sorted(each for each in files if not Path(each).is_file()):
        yield Finding("weights", "wrong", f"{', '.join(away)}: no such file", "correct pretrained in the YAML")
    elif wanted:
        libraries = len(wanted) - sum(source in files for _, source in wanted)
        from_libraries = f", {libraries} from timm and torchvision, downloaded when first planned" * bool(libraries)
        yield Finding("weights", "ok", f"{len(files)} file{'s' * (len(files) != 1)}{from_libraries}")


def _aws(experiment: Experiment | None) -> list[Finding]:
    """AWS is asked for its own mode only."""
    if experiment is None or not is_remote(experiment.launch.mode):
        return [Finding("AWS", "ok", "for mode aws only")]
    from benchmark import doctor_aws  # which imports boto3

    return list(doctor_aws.findings(experiment))
