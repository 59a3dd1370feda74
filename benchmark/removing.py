"""`rm`: takes results away, from the disk, from the journal and (into its bin) from MLflow.

    removal = find(path, settings, results, ["3fa2"], unplanned=False)
    print(removal.lines)
    remove(removal)

MLflow goes first and the journal last, so that whatever interrupts this, the same command finishes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import elsewhere, mlflow_store
from benchmark.journal import Journal
from benchmark.labels import labels
from benchmark.lock import exclusive
from benchmark.outside import chosen_by_id
from benchmark.plan import Plan
from benchmark.planned import planned
from benchmark.preparing import UsageProblem
from benchmark.run import Run


@dataclass(frozen=True)
class Removal:
    """Which runs would go: by run id, how they are called."""

    plan: Plan
    names: Mapping[str, str]

    @property
    def lines(self) -> list[str]:
        """What would go, and how much of the disk."""
        sizes = {run_id: _size(self.directory(run_id)) for run_id in self.names}
        listed = [f"{run_id[:6]}  {name}  {sizes[run_id] / 1e6:.1f} MB" for run_id, name in self.names.items()]
        return [*listed, f"{self.count}, {sum(sizes.values()) / 1e6:.1f} MB in {self.plan.directory}"]

    @property
    def count(self) -> str:
        return f"{len(self.names)} run{'s' * (len(self.names) != 1)}"

    def directory(self, run_id: str) -> Path:
        return self.plan.directory / "runs" / run_id


def find(path: Path | None, settings: Sequence[str], results: Path, runs: Sequence[str], *, unplanned: bool) -> Removal:
    """The runs whose ids begin with ``runs``, and with ``unplanned`` those that the YAML no longer asks for.

    Raises:
        ConfigError, DataError: what is wrong with the experiment.
        UsageProblem: nothing fits, more than one run fits a beginning, or one may be under way.
    """
    found = planned(path, settings, results)
    journal_names = _names(found.plan)
    wanted = [chosen_by_id(journal_names, each) for each in runs]
    if unplanned:
        wanted += [run_id for run_id in journal_names if run_id not in found.names]
    if not wanted:
        raise UsageProblem(f"every run in {found.plan.directory} is one that the YAML asks for" if unplanned else
                           "name the runs to remove, by the beginning of their ids, or give --unplanned")  # fmt: skip
    elsewhere.check_over(wanted, found.plan.directory)
    return Removal(found.plan, {run_id: journal_names[run_id] for run_id in dict.fromkeys(wanted)})


def remove(removal: Removal) -> str:
    """Removes them; what to say.

    Raises:
        Busy: a sweep is under way.
        TrackingError: MLflow cannot be reached; nothing is removed.
    """
    plan = removal.plan
    with exclusive(plan.directory):
        journal = Journal(plan.directory)
        try:
            _remove_from_mlflow(plan, journal, removal.names)
            for run_id in removal.names:
                _remove_directory(removal.directory(run_id))
            journal.forget(removal.names)
        finally:
            journal.close()
    return f"removed {removal.count}; `python -m benchmark report` writes the leaderboard without them"


def _remove_directory(path: Path) -> None:
    """Of a link only the link: what it leads to is somebody's own."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _remove_from_mlflow(plan: Plan, journal: Journal, run_ids: Mapping[str, Any]) -> None:
    publications = journal.publications()
    uuids = [publications[run_id].uuid for run_id in run_ids if publications[run_id].mlflow_run_id]
    if uuids:
        from benchmark.tracking import Publisher

        uri = mlflow_store.default_uri(Path.cwd(), plan.experiment.tracking.uri)
        Publisher(uri, plan.experiment.name, data=plan.data, artifacts=lambda rundir, run: {}).delete(uuids)


def _names(plan: Plan) -> dict[str, str]:
    """Of every run that the journal knows; those of the plan and others told apart."""
    if not (plan.directory / "journal.db").exists():
        raise UsageProblem(f"nothing has run yet in {plan.directory}")
    with Journal.read(plan.directory) as journal:
        documents = journal.documents()
    planned_ids = {run.run_id for run in plan.runs}
    others = [run for run in map(_run, documents.values()) if run is not None and run.run_id not in planned_ids]
    names = labels([*plan.runs, *others])
    return {
        run_id: names[run_id] if run_id in planned_ids else f"{names.get(run_id) or _name(each)} (not in the YAML)"
        for run_id, each in documents.items()
    }


def _run(document: Mapping[str, Any]) -> Run | None:
    """``None`` where an earlier version has written it."""
    try:
        return Run.from_json(document)
    except (KeyError, TypeError, ValueError):
        return None


def _name(document: Mapping[str, Any]) -> str:
    return f"{document['model']} · seed {document['seed']}"


def _size(directory: Path) -> int:
    return sum(each.stat().st_size for each in _files(directory))


def _files(directory: Path) -> Iterator[Path]:
    return (each for each in directory.rglob("*") if each.is_file())
