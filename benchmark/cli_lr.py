"""The command ``lr``: a range test of learning rates."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from benchmark.cli_options import common, only_option, print_json, teller


@click.command()
@common
@only_option
@click.option("--steps", type=click.IntRange(min=20), default=100, show_default=True, help="Of each test.")
def lr(
    experiment: Path | None, settings: tuple[str, ...], results: Path, as_json: bool, only: tuple[str, ...], steps: int
) -> None:
    """Suggest a learning rate for every model and recipe: the loss of some steps while the rate rises.

    Nothing is written into the experiment; curves go to lr_range.csv and figures/lr_range.png beside its results.
    """
    from benchmark import lr_range
    from benchmark.durable import atomic
    from benchmark.planned import planned
    from reports.figures import png_bytes
    from reports.lr_curves import lr_figure

    found, tell, curves = planned(experiment, settings, results, only), teller(as_json), []
    for curve in lr_range.curves(found, steps):
        curves.append(curve)
        tell(curve.words)
    directory = results / found.plan.experiment.name
    path = lr_range.write(curves, directory)
    picture = directory / "figures" / "lr_range.png"
    picture.parent.mkdir(exist_ok=True)
    drawn = {each.label: (each.rates, each.losses, each.suggested) for each in curves if not each.error}
    with atomic(picture) as file:
        file.write(png_bytes(lr_figure(drawn)))
    tell(f"curves: {path}, {picture}")
    if as_json:
        print_json([{**dataclasses.asdict(c), "suggested": None if c.error else c.suggested} for c in curves])
