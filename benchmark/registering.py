"""`tracking: {register: best}`: the best run's network goes into MLflow's model registry, once.

    lines = register(plan, journal, uri, reader)

The best row of each data set is meant; of its seeds, the one with the best validation value: the test images have no
say in it.  The version's tags name the run, so that registering it again adds none; the alias ``best`` leads to it.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import mlflow_store
from benchmark.children import command, environment
from benchmark.choosing import merit
from benchmark.data.datacache import DataError
from benchmark.described import preprocessing
from benchmark.journal import Journal
from benchmark.mlflow_store import TrackingError
from benchmark.plan import Plan
from benchmark.preparing import Decoded
from benchmark.records import Result
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.slugs import slug

if TYPE_CHECKING:
    from benchmark.mlflow_reading import Reader

RUN_ID, ALIAS = "benchmark.run_id", "best"
MINUTES = 10


@dataclass(frozen=True)
class Best:
    """A run whose network is to be registered as ``name``."""

    name: str
    run: Run
    rundir: RunDir
    result: Result
    mlflow_run_id: str
    primary: str
    classes: tuple[str, ...]

    @property
    def tags(self) -> dict[str, str]:
        """Of the version."""
        value = self.result.metrics.get(self.primary)
        identity = {RUN_ID: self.run.run_id, "benchmark.configuration_id": self.run.configuration_id}
        return {**identity, "benchmark.metric": self.primary, "benchmark.value": str(value)}

    @property
    def metadata(self) -> dict[str, Any]:
        """What the model says of itself: what its numbers mean, and how a picture becomes an input."""
        run = self.run
        return {
            "run_id": run.run_id,
            "model": run.model,
            "architecture": self.result.architecture,
            "classes": list(self.classes),
            "input": "uint8 (n, height, width, channels), RGB or grey, not normalised: that is done inside",
            "output": "probabilities, float32 (n, classes)",
            "preprocessing": preprocessing(run),
        }

    @property
    def description(self) -> str:
        """For the model's page."""
        size, channels = self.run.image_size, self.run.channels
        shape = f"(n, {size}, {size}, {channels})"
        return (
            f"`{self.run.model}`, run `{self.run.run_id}`, {self.primary} {self.tags['benchmark.value']}.\n\n"
            f"Takes uint8 {shape}, resized by `{self.run.resize}`; normalises inside; gives probabilities of "
            f"{len(self.classes)} classes, whose names are in the model's metadata."
        )


def register(plan: Plan, journal: Journal, uri: str, reader: Reader) -> list[str]:
    """Registers what is best and not registered yet; what to say.

    Raises:
        TrackingError: MLflow cannot be reached or refuses.
    """
    return [_registered(best, uri, reader) for best in _bests(plan, journal)]


def _registered(best: Best, uri: str, reader: Reader) -> str:
    version = reader.version(best.name, RUN_ID, best.run.run_id)
    if version is None:
        if not best.rundir.model.exists():
            return f"not registered: {best.rundir.model} is not there"
        answer = _ask_child(best, uri)
        if "error" in answer:
            return f"not registered: run {best.run.run_id}: {mlflow_store.redact(str(answer['error']))}"
        version = str(answer["version"])
    reader.point(best.name, ALIAS, version)
    return f"registered: models:/{best.name}@{ALIAS}, version {version}, run {best.run.run_id}"


def _ask_child(best: Best, uri: str) -> dict[str, Any]:
    """Has the network saved, tried and registered."""
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "answer.json"
        done = subprocess.run(
            command("benchmark.mlflow_model"),
            env=environment(),
            input=json.dumps(_request(best, uri, answer)),
            text=True,
            capture_output=True,
            timeout=60 * MINUTES,
        )
        if not answer.exists():
            return {"error": done.stderr.strip()[-1000:] or "its process was killed"}
        document: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return document


def _request(best: Best, uri: str, answer: Path) -> dict[str, Any]:
    return {
        "uri": uri,
        "name": best.name,
        "run": best.run.to_json(),
        "rundir": str(best.rundir.path.absolute()),
        "data": str(Decoded()(best.run)),
        "mlflow_run_id": best.mlflow_run_id,
        "tags": best.tags,
        "metadata": best.metadata,
        "description": best.description,
        "device": str(best.result.environment.get("device", "cpu")),
        "answer": str(answer),
    }


def _bests(plan: Plan, journal: Journal) -> Iterator[Best]:
    """One for each data set that has a row with a rank, in the order of the leaderboard."""
    document = json.loads((plan.directory / "leaderboard.json").read_text(encoding="utf-8"))
    publications, outcomes = journal.publications(), journal.outcomes()
    runs = {run.run_id: run for run in plan.runs}
    for row in _firsts(document):
        done = [runs[each["run_id"]] for each in row["runs"] if each["status"] == "done"]
        run = max(done, key=lambda each: merit(each, outcomes[each.run_id].result))
        result, mlflow_run_id = outcomes[run.run_id].result, publications[run.run_id].mlflow_run_id
        if result and mlflow_run_id:
            name = _name(plan.experiment.name, row["data"], several=len(document["data"]) > 1)
            classes = plan.data[run.data].classes
            yield Best(name, run, journal.rundir(run), result, mlflow_run_id, document["primary"], classes)


def _firsts(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    firsts: dict[str, dict[str, Any]] = {}
    for row in document["rows"]:
        if row["rank"] is not None:
            firsts.setdefault(row["data_digest"], row)
    return list(firsts.values())


def _name(experiment: str, data: str, *, several: bool) -> str:
    return f"{experiment}-{slug(data, 'data', length=len(data))}" if several else experiment


def lines(plan: Plan, journal: Journal, uri: str) -> list[str]:
    """:func:`register`, where the experiment asks for it; trouble is told, since the results are safe without it."""
    if plan.experiment.tracking.register != "best":
        return []
    from benchmark.mlflow_reading import Reader

    try:
        return register(plan, journal, uri, Reader(uri))
    except (TrackingError, DataError, OSError, subprocess.TimeoutExpired) as error:
        return [f"not registered: {mlflow_store.redact(str(error))}"]
