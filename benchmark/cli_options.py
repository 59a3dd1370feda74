"""What several commands have: arguments, options, and the ways to print."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import click

experiment_argument = click.argument(
    "experiment", required=False, type=click.Path(dir_okay=False, path_type=Path), metavar="[EXPERIMENT.YAML]"
)
set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A key for every run, over the YAML. Repeatable."
)
results_option = click.option(
    "--results",
    default=Path("results"),
    type=click.Path(file_okay=False, path_type=Path),
    show_default=True,
    help="Where results are kept.",
)
only_option = click.option(
    "--only", multiple=True, metavar="KEY=VALUE", help="Only the runs that fit, such as 'model=resnet*'. Repeatable."
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")


def common(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments of every command that reads an experiment."""
    return experiment_argument(set_option(results_option(json_option(command))))


def runs_and_experiment(words: Sequence[str]) -> tuple[tuple[str, ...], Path | None]:
    """The beginnings of run ids among a command's arguments, and the YAML that may stand behind them."""
    if words and words[-1].endswith((".yaml", ".yml")):
        return tuple(words[:-1]), Path(words[-1])
    return tuple(words), None


def in_seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """``90`` (seconds), ``45s``, ``90m``, ``2h``, ``1h30m``."""
    if value is None:
        return None
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", value.strip().lower())
    hours, minutes, seconds = (int(each or 0) for each in match.groups()) if match else (0, 0, 0)
    if total := 3600 * hours + 60 * minutes + seconds:
        return float(total)
    raise click.BadParameter(f"{value!r} is no time; write 45s, 90m, 2h or 1h30m", ctx, param)


def as_share(ctx: click.Context, param: click.Parameter, value: str | None) -> float:
    """``0.5%`` and ``0.005`` are the same; nothing is 0."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(%?)", (value or "0").strip())
    if match is None:
        raise click.BadParameter(f"{value!r} is no amount; write 0.5% or 0.005", ctx, param)
    return float(match[1]) / (100 if match[2] else 1)


def ask_what_becomes_of_jobs(*, err: bool) -> Literal["leave", "stop"]:
    """Of training jobs in AWS, after Ctrl-C."""
    choices = click.Choice(["leave", "stop"])
    answer = click.prompt("leave them running, or stop them?", type=choices, default="leave", err=err)
    return "stop" if answer == "stop" else "leave"


def asking(*, yes: bool, err: bool = False) -> Callable[..., None]:
    """Asks a person, where there is one and the answer is not known, before money is spent, after the lines that are
    given; "no" ends the command."""

    def ask(*lines: str) -> None:
        if not yes and sys.stdin.isatty():
            for line in lines:
                click.echo(line, err=err)
            click.confirm("Start?", abort=True, err=err)

    return ask


def teller(as_json: bool) -> Callable[[str], None]:
    """People's lines go to standard error where standard output is for JSON."""
    return lambda line: click.echo(line, err=as_json)


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=1, ensure_ascii=False))
