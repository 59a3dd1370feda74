"""From a plan and its journal to what the reports read, and to the figures that MLflow keeps of a run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.data.datacache import cache_directory
from benchmark.journal import Journal, Outcome, Publication
from benchmark.plan import Plan, stale_reason
from benchmark.prices import Prices
from benchmark.records import Result
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.thumbnails import thumbnails
from reports.leaderboard import SPEED_NOTE, DataSummary, Entry, Header, Leaderboard, Status, build
from reports.matrix_picture import confusion_png
from reports.render import write as write_files

VERSIONS = ("python", "torch", "torchvision", "timm", "numpy")


def leaderboard(plan: Plan, journal: Journal, command: str, workers: int | None) -> Leaderboard:
    """The leaderboard of the current plan, from the journal's index."""
    return build(entries(plan.runs, journal), _header(plan, command, workers, journal.outcomes()))


def entries(runs: Sequence[Run], journal: Journal) -> list[Entry]:
    """What came of each of ``runs``, from the journal's index."""
    outcomes, publications = journal.outcomes(), journal.publications()
    return [_entry(run, journal.rundir(run), outcomes.get(run.run_id), publications.get(run.run_id)) for run in runs]


def write(board: Leaderboard, directory: Path) -> tuple[dict[str, Any], Path]:
    """Writes the leaderboard's files; the JSON one's document, and the path of the Markdown one."""
    return write_files(board, directory, partial(thumbnails, cache_directory())), directory / "leaderboard.md"


def run_figures(rundir: RunDir, run: Run) -> Mapping[str, bytes]:
    """What MLflow keeps of a finished run, at the artifact root, where its compare page looks.

    Learning curves are none of it: MLflow draws them from the metrics, for one run and for several.
    """
    evaluation = rundir.read_evaluation()["test"]
    classes = [each.name for each in evaluation.per_class]
    title = f"{run.model}, seed {run.seed}"
    return {"confusion_matrix.png": confusion_png(evaluation.confusion, classes, title)}


def source_commit() -> str:
    """The commit of the code, where it runs from a git checkout; ``+`` marks uncommitted changes."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        return commit + "+" * bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _entry(run: Run, rundir: RunDir, outcome: Outcome | None, publication: Publication | None) -> Entry:
    mlflow_run_id = publication.mlflow_run_id if publication else None
    if outcome is None:
        return Entry(run, "pending", directory=rundir.path, mlflow_run_id=mlflow_run_id)
    log = os.path.relpath(rundir.log_path(max(1, outcome.attempts)))
    stale = (outcome.result and stale_reason(outcome.result)) or ""
    status: Status = "pruned" if outcome.pruned else outcome.status
    return Entry(run, status, outcome.result, outcome.failure, outcome.profile, mlflow_run_id, rundir.path, log, stale)


def _speed_note(results: Sequence[Result]) -> str:
    kinds = sorted({str(each.environment["instance"]) for each in results if "instance" in each.environment})
    if not kinds:
        return SPEED_NOTE
    return f"Speed was measured in AWS, at the end of each training job on its own instance ({', '.join(kinds)})."


def _hardware(environment: Mapping[str, str | int | float]) -> str:
    """The processor, and of how many cores a run had the use: workers may be bound to some of a machine's."""
    cores = environment["cpus"]
    return f"{environment['cpu']}, {cores} core{'' if cores == 1 else 's'} for each run"


def _header(plan: Plan, command: str, workers: int | None, outcomes: Mapping[str, Outcome]) -> Header:
    results = [found.result for run in plan.runs if (found := outcomes.get(run.run_id)) and found.result]
    header = Header(
        experiment=plan.experiment.name,
        data=tuple(DataSummary(spec.label, f.digest, f.classes, f.sizes) for spec, f in plan.data.items()),
        primary=plan.experiment.report.primary,
        description=plan.experiment.description,
        command=command,
        commit=source_commit(),
        workers=workers,
        prices=Prices.shipped(plan.experiment.launch.aws.prices).words,
    )
    return with_facts(header, results)


def with_facts(header: Header, results: Sequence[Result]) -> Header:
    """``header`` with what the results tell of where, when and with what they were made."""
    environment = results[0].environment if results else {}
    return replace(
        header,
        hardware=_hardware(environment) if {"cpu", "cpus"} <= set(environment) else "",
        started=min((each.started for each in results), default=None),
        finished=max((each.finished for each in results), default=None),
        speed_note=_speed_note(results),
        versions={name: str(environment[name]) for name in VERSIONS if name in environment},
    )
