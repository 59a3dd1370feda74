"""`report`: the leaderboard again, of an experiment, of several directories of results, or of a tracking server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark import collector
from benchmark.cli_options import json_option, print_json, results_option, set_option

if TYPE_CHECKING:
    from benchmark.reporting import Summary, Wishes

LIMITS = {
    "latency": ("latency", "20ms"),
    "params": ("number of parameters", "5M"),
    "macs": ("number of multiply-adds per image", "0.5G"),
    "train-time": ("training time", "10m"),
    "memory": ("peak memory", "2GB"),
    "cost": ("training cost", "$1.50"),
}
"""What ``--max-…`` may limit, in words, with an example; as in :mod:`reports.limits`."""


def limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds ``--max-latency`` and the others; ``max_latency`` and so on are ``None`` where they are not given."""
    for kind, (what, example) in reversed(LIMITS.items()):
        words = f"Name the best model with at most this {what}, such as {example}."
        command = click.option(f"--max-{kind}", metavar="AMOUNT", help=words)(command)
    return command


@click.command()
@click.argument("places", nargs=-1, type=click.Path(path_type=Path), metavar="[EXPERIMENT.YAML | DIRECTORY...]")
@set_option
@results_option
@json_option
@limit_options
@click.option("--readme", type=click.Path(dir_okay=False, path_type=Path),
              help="Put the table between the markers benchmark:begin and benchmark:end of this file.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path),
              help="Of several directories, or with --from-mlflow: where to write.")  # fmt: skip
@click.option("--from-mlflow", "uri", metavar="URI", help="Of the runs at this tracking address instead.")
@click.option("--experiment", "name", metavar="NAME", help="With --from-mlflow: the experiment's name there.")
def report(
    places: tuple[Path, ...],
    settings: tuple[str, ...],
    results: Path,
    as_json: bool,
    readme: Path | None,
    out: Path | None,
    uri: str | None,
    name: str | None,
    **limits: str | None,
) -> None:
    """Write the leaderboard again from what is there.  Nothing is trained.

    Of directories of results (results/a results/b), such as those of several machines, it writes one leaderboard into
    --out.
    """
    wishes = _wishes(limits, readme)
    with collector.paused():
        summary = _written(places, settings, results, (uri, name, out), wishes)
    if as_json:
        print_json(summary.document)
        return
    for line in summary.lines:
        click.echo(line)


def _written(
    places: Sequence[Path], settings: Sequence[str], results: Path, server: tuple[str | None, str | None, Path | None],
    wishes: Wishes,
) -> Summary:  # fmt: skip
    uri, name, out = server
    if uri is not None:
        if places:
            raise click.UsageError("with --from-mlflow no YAML is read: name the experiment by --experiment NAME")
        from benchmark.from_mlflow import report as from_server

        return from_server(uri, name, out, results, wishes)
    if name is not None:
        raise click.UsageError("--experiment is for --from-mlflow URI; here the experiment is its YAML")
    if any(place.is_dir() for place in places):
        return _merged(places, out, wishes)
    if out is not None:
        raise click.UsageError("--out is for --from-mlflow URI and for directories of results")
    if len(places) > 1:
        raise click.UsageError("several places have to be directories of results, such as results/a results/b")
    from benchmark.reporting import rebuild

    return rebuild(places[0] if places else None, settings, results, wishes)


def _merged(places: Sequence[Path], out: Path | None, wishes: Wishes) -> Summary:
    if strange := [str(place) for place in places if not place.is_dir()]:
        raise click.UsageError(f"{', '.join(strange)}: not a directory, while others are")
    if out is None:
        raise click.UsageError("say where the leaderboard of these directories is to be written: --out DIRECTORY")
    from benchmark.merging import merged
    from benchmark.reporting import write

    return write(merged(places), out, wishes)


def _wishes(limits: dict[str, Any], readme: Path | None) -> Wishes:
    from benchmark.reporting import Wishes

    given = {key.removeprefix("max_").replace("_", "-"): text for key, text in limits.items() if text is not None}
    if not given:
        return Wishes(readme=readme)
    from reports.limits import Limit

    try:
        return Wishes(tuple(Limit.of(kind, text) for kind, text in given.items()), readme)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
