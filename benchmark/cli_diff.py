"""`diff`: whether a leaderboard has become worse than another; a gate for continuous integration."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchmark.cli_options import json_option, print_json, teller


@click.command()
@click.argument("baseline", type=click.Path(path_type=Path), metavar="BASELINE.json")
@click.argument("new", type=click.Path(path_type=Path), metavar="NEW.json")
@click.option(
    "--fail-on-regression",
    is_flag=True,
    help="Exit code 1 where a configuration has become worse, is missing, or is no longer ranked.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="AMOUNT",
    help="So much worse is allowed, in the metric's own unit: 0.005 for half a point of accuracy.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the comment here, too.")
@json_option
def diff(
    baseline: Path, new: Path, fail_on_regression: bool, tolerance: float, output: Path | None, as_json: bool
) -> None:
    """Has anything become worse?  Two leaderboard.json files, or directories that have one.

    Each configuration is tested against itself, paired by image where both sides' run directories are there.  What is
    printed is a comment in Markdown.
    """
    from benchmark.rundir import atomic
    from reports.kept import BadLeaderboard, read
    from reports.regression import compare
    from reports.regression_words import comment, document

    try:
        old, now = read(baseline), read(new)
        changes = compare(old, now, tolerance)
    except BadLeaderboard as error:
        raise click.UsageError(str(error)) from error
    text, told = comment(old, now, changes, tolerance), document(old, now, changes)
    teller(as_json)(text.rstrip("\n"))
    if output:
        with atomic(output) as file:
            file.write(text.encode("utf-8", errors="backslashreplace"))
    if as_json:
        print_json(told)
    sys.exit(1 if fail_on_regression and told["worse"] else 0)
