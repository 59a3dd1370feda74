"""`diff`: whether a leaderboard has become worse than another; a gate for continuous integration."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchmark.cli_options import as_share, json_option, print_json, teller
from benchmark.errors import FAILED


@click.command()
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--fail-on-regression", is_flag=True, help="Exit code 1 where a configuration is worse, or missing.")
@click.option(
    "--tolerance",
    callback=as_share,
    metavar="AMOUNT",
    help="By so much a mean may be worse, in the metric's unit: 0.5% or 0.005.",
)
@click.option("--metric", metavar="NAME", help="Compare by this one, such as test/f1_macro; default: the new one's.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the comment into this file, too."
)
@json_option
def diff(
    baseline: Path,
    new: Path,
    fail_on_regression: bool,
    tolerance: float,
    metric: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Is NEW worse than BASELINE?  Two leaderboard.json, or directories that hold one; a comment for a pull request.

    Exit codes: 0; 1 with --fail-on-regression where a configuration has regressed, is missing, has failed, or cannot
    be compared; 2 where the two are no leaderboards, or of other data.
    """
    from benchmark.durable import atomic
    from reports.regression import diff as difference
    from reports.regression_page import document, page
    from reports.retest import Source

    found = difference(Source.read(baseline), Source.read(new), metric, tolerance)
    text = page(found)
    if output:
        with atomic(output) as file:
            file.write(text.encode("utf-8", errors="backslashreplace"))
    teller(as_json)(text.rstrip("\n"))
    if as_json:
        print_json(document(found))
    sys.exit(FAILED if fail_on_regression and found.failing else 0)
