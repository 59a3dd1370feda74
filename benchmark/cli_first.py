"""Commands from before the first run: init, data, doctor, schema, models."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchmark.cli_options import in_seconds, json_option, print_json, results_option, set_option
from benchmark.errors import ENVIRONMENT


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="[FOLDER]")
@click.option("--output", default=Path("experiments.yaml"), type=click.Path(dir_okay=False, path_type=Path),
              show_default=True, help="The file to write.")  # fmt: skip
@click.option("--budget", default="10m", callback=in_seconds, show_default=True, metavar="TIME",
              help="How long the whole experiment may take, roughly.")  # fmt: skip
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(folder: Path | None, output: Path, budget: float, force: bool) -> None:
    """Write a first experiment for the images in FOLDER: one directory for each class, or train/ and test/ of them.

    Models, image size, batch and epochs are fit for the images, for this machine and for the budget.  Without FOLDER it
    is for the images that come with the package.
    """
    from benchmark.inspecting import initialise

    for line in initialise(folder, output, budget, force=force):
        click.echo(line)


@click.group()
def data() -> None:
    """Look at images before anything is trained on them."""


@data.command("inspect")
@click.argument("place", required=False, type=click.Path(path_type=Path), metavar="[EXPERIMENT.YAML|FOLDER]")
@set_option
@results_option
@json_option
def inspect_data(place: Path | None, settings: tuple[str, ...], results: Path, as_json: bool) -> None:
    """Classes, splits, sizes, balance, equal images; writes data_card.md with some images of each class.

    Of the data sets of an experiment, or of a folder of images with one directory for each class.
    """
    from benchmark.inspecting import inspect

    found = inspect(place, settings, results)
    if as_json:
        print_json([each.document for each in found])
        return
    for each in found:
        for line in each.lines:
            click.echo(line)


@click.command()
@click.argument("path", required=False, type=click.Path(dir_okay=False, path_type=Path), metavar="[EXPERIMENT.YAML]")
@results_option
@json_option
def doctor(path: Path | None, results: Path, as_json: bool) -> None:
    """Look at Python, libraries, GPU, disk, MLflow and Docker: what is missing for the experiment, and the remedy.

    For an experiment of mode aws also at credentials, role, bucket, image, quotas and prices there; for others AWS is
    not asked.  Nothing is made or downloaded.  Exit code 3 where something is in the way of the runs.
    """
    from benchmark.doctor import examine
    from benchmark.installed import default_experiment

    found = examine(path or default_experiment(), results)
    if as_json:
        print_json(found.document)
    else:
        for line in found.lines:
            click.echo(line)
    sys.exit(0 if found.healthy else ENVIRONMENT)


@click.command()
def schema() -> None:
    """Print the JSON Schema of an experiment's YAML, for editors."""
    from benchmark.config.schema import schema

    print_json(schema())


@click.command()
@click.argument("pattern", default="*")
@json_option
def models(pattern: str, as_json: bool) -> None:
    """List the models that PATTERN (such as 'resnet*') matches: family, parameters, minimum image size."""
    from benchmark import catalogue, words
    from benchmark.data import datasets

    rows = catalogue.search(pattern, datasets.cache_directory())
    if not rows:
        raise click.UsageError(f"no model matches {pattern!r}")
    if as_json:
        print_json([words.model_document(row) for row in rows])
        return
    for line in words.model_lines(rows):
        click.echo(line)
