"""`compare`: whether one run, configuration or model is better than another."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark.cli_options import common, print_json, teller


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@common
@click.option(
    "--figure",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png|.svg",
    help="Draw both confusion matrices and their difference.",
)
@click.option(
    "--flips",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="Write every image that one has right and the other wrong.",
)
def compare(
    first: str,
    second: str,
    experiment: Path | None,
    settings: tuple[str, ...],
    results: Path,
    as_json: bool,
    figure: Path | None,
    flips: Path | None,
) -> None:
    """Is A better than B?  What differs, paired tests, confusions, and the images that only one has right.

    A and B are beginnings of ids of runs or configurations, labels of the leaderboard, or models.
    """
    from benchmark.comparing import compared, write_figure, write_flips
    from reports.comparison_words import document, lines

    if figure and figure.suffix.lower() not in (".png", ".svg"):
        raise click.BadParameter(f"{str(figure)!r} is neither .png nor .svg", param_hint="--figure")
    say = teller(as_json)
    found = compared((first, second), experiment, settings, results)
    for line in lines(found):
        say(line)
    if figure:
        say(f"figure: {write_figure(found, figure)}")
    if flips:
        say(f"flipped images: {write_flips(found, flips)}")
    if as_json:
        print_json(document(found))
