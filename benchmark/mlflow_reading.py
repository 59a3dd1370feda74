"""Reading from MLflow; beside :mod:`benchmark.tracking`, which writes, the only file that imports it.

reader = Reader(uri)
link = reader.complete_view("fashion-tour", runs, "test/accuracy")
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from benchmark import mlflow_view
from benchmark.run import Run
from benchmark.tracking import VIEW_KEY, connect, reported


class Reader:
    """What is at a tracking address.

    Every method raises :class:`TrackingError` where MLflow cannot be reached or refuses.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with reported(uri):
            self._client = connect(uri)

    def complete_view(self, experiment: str, runs: Sequence[Run], primary: str) -> str | None:
        """Makes the preset view of the experiment's page that of these runs; the link, from ``#`` on.  ``None`` where
        there is no such experiment."""
        state = json.dumps(mlflow_view.state(runs, primary))
        tag = f"mlflow.sharedViewState.{VIEW_KEY}"
        with reported(self._uri):
            found = self._client.get_experiment_by_name(experiment)
            if found is None or found.lifecycle_stage != "active":
                return None
            if found.tags.get(tag) != state:
                self._client.set_experiment_tag(found.experiment_id, tag, state)
        return mlflow_view.link(str(found.experiment_id), VIEW_KEY)
