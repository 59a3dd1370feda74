"""The options of `report` that take the runs from a tracking server."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from benchmark.session import Summary


@dataclass(frozen=True)
class Server:
    """What was asked for by ``--from-mlflow``, ``--experiment`` and ``--out``."""

    uri: str
    name: str | None
    out: Path | None

    def report(self, experiment: Path | None, results: Path) -> Summary:
        """The leaderboard of the server's runs."""
        if experiment is not None:
            raise click.UsageError("with --from-mlflow no YAML is read: name the experiment by --experiment NAME")
        from benchmark.from_mlflow import report

        return report(self.uri, self.name, self.out, results)


def from_mlflow(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options; the command gets a ``server``, or ``None``."""

    @click.option("--from-mlflow", "uri", metavar="URI", help="Of the runs at this tracking address instead.")
    @click.option("--experiment", "name", metavar="NAME", help="With --from-mlflow: the experiment's name there.")
    @click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        help="With --from-mlflow: where to write; default: the experiment's directory of results.",
    )
    @functools.wraps(command)
    def with_server(*args: Any, uri: str | None, name: str | None, out: Path | None, **kwargs: Any) -> None:
        if uri is None and (name or out):
            raise click.UsageError("--experiment and --out are for --from-mlflow URI")
        command(*args, server=Server(uri, name, out) if uri else None, **kwargs)

    return with_server
