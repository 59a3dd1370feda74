"""Reading from MLflow; :mod:`benchmark.tracking` writes to it.

    reader = Reader(uri)
    link = reader.complete_view("fashion-tour", runs, "test/accuracy")
    found = reader.experiments()["fashion-tour"]
    for each in reader.runs(found): ...
    reader.fetch(mlflow_run_id, {"data/evaluation.json": 8 * 2**20})

Runs come a thousand to a request, with their tags: no request is made for each.  Every method raises
:class:`TrackingError` where MLflow cannot be reached or refuses.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmark import mlflow_view
from benchmark.mlflow_record import KIND
from benchmark.mlflow_store import TrackingError
from benchmark.run import Run
from benchmark.tracking import VIEW_KEY, connect, reported

if TYPE_CHECKING:
    from mlflow import entities  # noqa: TID251
    from mlflow.store.entities import PagedList  # noqa: TID251

PAGE, BY_START = 1000, "attributes.start_time ASC"
T = TypeVar("T")
VIEW = f"mlflow.sharedViewState.{VIEW_KEY}"


@dataclass(frozen=True)
class Tracked:
    """A run as MLflow tells it, nothing of it checked.  ``ended`` is Unix seconds, 0 while it proceeds; ``data`` are
    digest and profile (a JSON text) of its data sets."""

    mlflow_run_id: str
    tags: Mapping[str, str]
    ended: float = 0.0
    data: Mapping[str, str] = field(default_factory=dict)


class Reader:
    """What is at a tracking address; a SQLite store is made ready where it is one."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with reported(uri):
            self._client = connect(uri)

    def complete_view(self, experiment: str, runs: Sequence[Run], primary: str) -> str | None:
        """Makes the preset view of the experiment's page that of these runs; the link, from ``#`` on.  ``None`` where
        there is no such experiment."""
        state = json.dumps(mlflow_view.state(runs, primary))
        with reported(self._uri):
            found = self._client.get_experiment_by_name(experiment)
            if found is None or found.lifecycle_stage != "active":
                return None
            if found.tags.get(VIEW) != state:
                self._client.set_experiment_tag(found.experiment_id, VIEW, state)
        return mlflow_view.link(str(found.experiment_id), VIEW_KEY)

    def experiments(self) -> dict[str, str]:
        """Name -> id, of those that have a view of ours."""
        with reported(self._uri):
            pages = _pages(lambda token: self._client.search_experiments(max_results=PAGE, page_token=token))
            return {each.name: str(each.experiment_id) for each in pages if VIEW in each.tags}

    def runs(self, experiment_id: str, kind: str = "run") -> list[Tracked]:
        """The runs of an experiment, those that proceed or failed included; ``kind`` ``sweep``: the sweep's own."""
        wanted = f"tags.`{KIND}` = '{kind}'"
        with reported(self._uri):
            return [
                _tracked(each)
                for each in _pages(
                    lambda token: self._client.search_runs(
                        [experiment_id], wanted, max_results=PAGE, order_by=[BY_START], page_token=token
                    )
                )
            ]

    def fetch(self, mlflow_run_id: str, limits: Mapping[str, int]) -> dict[str, bytes]:
        """Path -> content of those of a run's artifacts that are there and have at most ``limits`` bytes; the paths are
        all in one folder."""
        found = {}
        with reported(self._uri), tempfile.TemporaryDirectory() as scratch:
            for path in self._listed(mlflow_run_id, limits):
                place = Path(self._client.download_artifacts(mlflow_run_id, path, scratch))
                # What came is looked at again: its listing is as little to be believed as the rest.
                if place.is_file() and not place.is_symlink() and place.stat().st_size <= limits[path]:
                    found[path] = place.read_bytes()
        return found

    def version(self, model: str, tag: str, value: str) -> str | None:
        """The version of a registered model that has this tag; ``None`` where none has.

        Raises:
            TrackingError: a model of that name is there, and not of ours.
        """
        with reported(self._uri):
            found = self._client.search_registered_models(f"name = '{model}'")
            if found and found[0].tags.get(KIND) != "model":
                raise TrackingError(f"MLflow has a model {model!r} that is not ours: give the experiment another name")
            versions = _pages(lambda token: self._client.search_model_versions(f"name = '{model}'", page_token=token))
            return next((str(each.version) for each in versions if each.tags.get(tag) == value), None)

    def point(self, model: str, alias: str, version: str) -> None:
        """Has ``models:/model@alias`` mean this version."""
        with reported(self._uri):
            self._client.set_registered_model_alias(model, alias, version)

    def _listed(self, mlflow_run_id: str, limits: Mapping[str, int]) -> list[str]:
        folder = next(iter(limits)).rpartition("/")[0]
        sizes = {each.path: each.file_size for each in self._client.list_artifacts(mlflow_run_id, folder or None)}
        return [path for path, limit in limits.items() if (size := sizes.get(path)) is not None and size <= limit]


def _tracked(run: entities.Run) -> Tracked:
    sets = [each.dataset for each in (run.inputs.dataset_inputs if run.inputs else [])]
    data = {str(each.digest): str(each.profile or "") for each in sets}
    return Tracked(run.info.run_id, dict(run.data.tags), (run.info.end_time or 0) / 1000, data)


def _pages(ask: Callable[[str | None], PagedList[T]]) -> Iterator[T]:
    token: str | None = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return
