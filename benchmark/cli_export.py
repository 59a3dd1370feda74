"""The command ``export``: the network of a finished run as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.cli_options import common, print_json, teller

if TYPE_CHECKING:
    from benchmark.exporting import Format


@click.command()
@click.argument("run", metavar="RUN")
@common
@click.option("--format", "kind", type=click.Choice(["onnx", "torch"]), help="ONNX (default), or torch.export's .pt2.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Default: exported/ beside the runs.")
def export(
    run: str,
    experiment: Path | None,
    settings: tuple[str, ...],
    results: Path,
    as_json: bool,
    kind: Format | None,
    out: Path | None,
) -> None:
    """Write the network of RUN, with its preprocessing and class names, into one file that runs anywhere.

    RUN is the beginning of a run's id, a configuration or model of the leaderboard (its best seed by validation), or
    `best`.  The file is tried on test images: it has to give the run's own answers, else none is written.
    """
    from benchmark.exporting import export as write

    say = teller(as_json)
    found = write(run, experiment, settings, results, kind, out)
    for line in found.lines:
        say(line)
    if as_json:
        print_json({"path": str(found.path), "description": str(found.description), **found.document})
