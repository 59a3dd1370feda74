"""The command that plays a sweep in AWS on this machine."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Literal

import click

from benchmark.cli_options import experiment_argument, json_option, only_option, set_option

SHARE = click.FloatRange(0, 1)


@click.command()
@experiment_argument
@set_option
@only_option
@json_option
@click.option("--limit", type=click.IntRange(min=1), help="Start at most so many runs.")
@click.option("--throttle", type=SHARE, default=0.0, show_default=True, help="Share of calls that are throttled.")
@click.option("--spot", type=SHARE, default=0.0, show_default=True, help="Share of jobs interrupted; all are on spot.")
@click.option("--capacity", type=SHARE, default=0.0, show_default=True, help="Share of jobs without an instance.")
@click.option("--quota", multiple=True, metavar="TYPE=N", help="At most N instances of a type. Repeatable.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of these shares.")
@click.option("--startup", type=click.FloatRange(min=0), default=0.0, show_default=True,
              help="Seconds until an instance is there; in AWS about 120.")  # fmt: skip
@click.option("--executor", type=click.Choice(["namespace", "docker"]), default="namespace", show_default=True,
              help="How jobs run: as processes that see their own /opt/ml, or in containers.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Jobs at a time; default: as many as this machine can.")
@click.option("--on-interrupt", type=click.Choice(["leave", "stop"]), default="stop", hidden=True)
def rehearse(
    experiment: Path | None,
    settings: tuple[str, ...],
    only: tuple[str, ...],
    as_json: bool,
    limit: int | None,
    throttle: float,
    spot: float,
    capacity: float,
    quota: tuple[str, ...],
    seed: int,
    startup: float,
    executor: Literal["namespace", "docker"],
    workers: int | None,
    on_interrupt: Literal["leave", "stop"],
) -> None:
    """Play the sweep in AWS on this machine, before money is spent: a server that speaks as S3 and SageMaker do really
    runs its training jobs here, faults included.  What comes of it lies under ./rehearsal.
    """
    from benchmark.cli_session import carry_out
    from benchmark.options import Options
    from benchmark.rehearsing import fetch_data, rehearsal
    from benchmark.session import Session
    from launch.rehearsal.faults import Faults

    faults = Faults(seed=seed, throttle=throttle, spot=spot, capacity=capacity, quota=_quotas(quota))
    fetch_data(experiment, settings)
    with rehearsal(executor, faults, startup) as stage:
        options = Options(
            workers=workers, mode="aws", only=only, limit=limit, on_interrupt=on_interrupt, adapt=stage.adapted
        )
        begin = partial(Session.open, experiment, settings, stage.directory)
        code = carry_out(begin, options, as_json=as_json, yes=True, then=stage.review)
    sys.exit(code)


def _quotas(texts: tuple[str, ...]) -> dict[str, int]:
    pairs = [text.partition("=") for text in texts]
    if wrong := next((text for text, (_, _, count) in zip(texts, pairs, strict=True) if not count.isdigit()), None):
        raise click.BadParameter(f"{wrong!r} is no quota; write ml.m5.xlarge=2", param_hint="--quota")
    return {name: int(count) for name, _, count in pairs}
