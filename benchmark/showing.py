"""What `ui` does, without printing: finds the experiment in MLflow, completes its view, and has a server show it.

shown = find(path, settings, results)
with shown.server.serving(port=None) as (address, keeper):   # or shown.page, where the store is a server itself
    print(shown.at(address))
"""

from __future__ import annotations

import os
import subprocess
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark import mlflow_store
from benchmark.data.datacache import cache_directory
from benchmark.mlflow_server import Server, ServerError
from benchmark.plan import Plan
from benchmark.planned import planned
from benchmark.preparing import UsageProblem, comes_first

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


@dataclass(frozen=True)
class Shown:
    """An experiment in MLflow at ``uri``; ``link`` leads to its view, from ``#`` on.  ``server`` is ``None`` where the
    store is a server itself."""

    uri: str
    link: str
    server: Server | None

    @property
    def words(self) -> str:
        """How to come there, where no server is for us to start."""
        return mlflow_store.view_words(self.uri, Path.cwd(), self.link)

    @property
    def page(self) -> str | None:
        """The address on a server that is up already and can simply be opened."""
        if self.server is not None or mlflow_store.is_managed(self.uri):
            return None
        return self.at(mlflow_store.redact(self.uri))

    def at(self, address: str) -> str:
        """The link on the server at ``address``."""
        return f"{address.rstrip('/')}/{self.link}"


def find(path: Path | None, settings: Sequence[str], results: Path) -> Shown:
    """The experiment in MLflow, with the view of its runs as they are planned now.

    Raises:
        ConfigError, DataError: what is wrong with the experiment.
        UsageProblem: MLflow does not have it yet.
        TrackingError: MLflow cannot be reached, or its store is locked or of another version.
    """
    plan = planned(path, settings, results).plan
    uri = mlflow_store.default_uri(Path.cwd(), plan.experiment.tracking.uri)
    store = mlflow_store.sqlite_path(uri)
    if store is not None and not store.exists():
        raise UsageProblem(f"nothing has run yet: there is no {store}; {comes_first(plan)}")
    link = _completed(uri, plan)
    if link is None:
        raise UsageProblem(
            f"MLflow at {mlflow_store.redact(uri)} has no experiment {plan.experiment.name!r} yet: "
            "`python -m benchmark run` or, where results wait on disk, `sync` brings it there"
        )
    return Shown(uri, link, _server(uri))


def _server(uri: str) -> Server | None:
    if mlflow_store.is_managed(uri) or uri.startswith(("http://", "https://")):
        return None
    return Server.of(uri, cache_directory())


def _completed(uri: str, plan: Plan) -> str | None:
    from benchmark.mlflow_reading import Reader

    return Reader(uri).complete_view(plan.experiment.name, plan.runs, plan.experiment.report.primary)


def stop(path: Path | None, settings: Sequence[str], results: Path) -> str:
    """Ends the server of the experiment's store; what to say."""
    plan = planned(path, settings, results).plan
    server = _server(mlflow_store.default_uri(Path.cwd(), plan.experiment.tracking.uri))
    if server is None:
        raise UsageProblem("the tracking address is that of a server which is not ours to stop")
    return "MLflow's server is stopped" if server.stop() else "no server of ours shows this experiment"


def watch(server: Server, keeper: subprocess.Popen[bytes]) -> None:
    """Waits for a server that does not end by itself.

    Raises:
        ServerError: it has ended.
        KeyboardInterrupt: the way to end it.
    """
    code = keeper.wait()
    raise ServerError(f"MLflow's server has ended (exit code {code}); the end of {server.log}:\n{server.tail()}")


def open_page(address: str) -> bool:
    """Opens a browser where there is a screen; whether one was found."""
    if sys.platform.startswith("linux") and not any(os.environ.get(each) for each in DISPLAYS):
        return False
    return webbrowser.open(address)
