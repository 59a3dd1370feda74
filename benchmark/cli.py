"""The command line: the only place that prints, with the other ``benchmark.cli_…`` files.

Exit codes: 0 all done, 1 some runs failed, 2 configuration, 3 environment, 4 incomplete, 130 interrupted.  Heavy
libraries are imported in the commands that need them, so that ``--help`` is quick.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn

import click

from benchmark import __version__, collector
from benchmark.cli_compare import compare
from benchmark.cli_diff import diff
from benchmark.cli_export import export
from benchmark.cli_first import data, doctor, init, models, schema
from benchmark.cli_lr import lr
from benchmark.cli_options import asking, common, in_seconds, only_option, print_json, teller
from benchmark.cli_rehearse import rehearse
from benchmark.cli_report import report
from benchmark.cli_runs import logs, reproduce, rm, stop
from benchmark.cli_ui import ui
from benchmark.data.telling import told
from benchmark.errors import INTERRUPTED, exit_code, message

BAR, FEW = 20, 200
"""Characters of a bar of progress; of more things than a few not each moves it."""


class Program(click.Group):
    """Turns every expected error into its message and exit code; a traceback is always our mistake."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with told(_tell_progress):
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            code = exit_code(error)
            if code is None or _nobody_reads():  # as in `models | head`: click ends quietly
                raise
            click.echo(message(error), err=True)
            ctx.exit(code)


def _nobody_reads() -> bool:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return True
    return False


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="torch-image-benchmark")
def main() -> None:
    """Benchmark PyTorch image classifiers: one YAML of models × hyperparameters × seeds over your own images.

    Without an argument the commands take ./experiments.yaml, or the one that ships with the package.
    """
    from benchmark.installed import check_packages

    check_packages()


@main.command()
@common
@only_option
@click.option("--limit", type=click.IntRange(min=1), help="Start at most so many runs.")
@click.option("--max-time", callback=in_seconds, metavar="TIME", help="Stop after 90m, 2h, 1h30m; `run` again goes on.")
@click.option("--detach", is_flag=True, help="Run in the background; `status`, `logs` and `stop` are for it.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Runs at a time; default: the YAML's.",
)
@click.option("--mode", help="fast_local, local or aws; over the YAML's launch.mode.")
@click.option(
    "--on-interrupt",
    type=click.Choice(["leave", "stop"]),
    help="After Ctrl-C: leave training jobs in AWS to run, or stop them; without it you are asked.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before money is spent in AWS.")
@click.option(
    "--retry",
    multiple=True,
    metavar="KIND|RUN|all",
    help="Also run again what failed: of this kind, this run, or all. Repeatable.",
)
@click.option("--stale", type=click.Choice(["keep", "rerun"]), default="keep", show_default=True,
              help="What to do with results of other library versions.")  # fmt: skip
def run(
    experiment: Path | None,
    settings: tuple[str, ...],
    results: Path,
    as_json: bool,
    only: tuple[str, ...],
    limit: int | None,
    max_time: float | None,
    detach: bool,
    workers: int | None,
    mode: str | None,
    on_interrupt: Literal["leave", "stop"] | None,
    yes: bool,
    retry: tuple[str, ...],
    stale: str,
) -> None:
    """Train and evaluate every run that has no result yet, and write the leaderboard."""
    if detach:
        from benchmark.detaching import start

        said, code = start(sys.argv[1:], experiment, settings, results, mode, asking(yes=yes))
        click.echo(said, err=bool(code))
        sys.exit(code)
    from benchmark.cli_session import carry_out
    from benchmark.options import Options
    from benchmark.session import Session

    options = Options(
        workers=workers,
        mode=mode,
        retry=retry,
        rerun_stale=stale == "rerun",
        only=only,
        limit=limit,
        on_interrupt=on_interrupt,
        max_time=max_time,
    )
    begin = partial(Session.open, experiment, settings, results)
    sys.exit(carry_out(begin, options, as_json=as_json, yes=yes))


@main.command()
@common
@only_option
@click.option("--probe/--no-probe", default=True, help="Whether to measure some training steps on this machine.")
def plan(
    experiment: Path | None, settings: tuple[str, ...], results: Path, as_json: bool, only: tuple[str, ...], probe: bool
) -> None:
    """Every cell with its state (new, done, failed, stale), why, and how long it will take.  Nothing is started.

    Steps of models that this machine has not trained yet are measured first, for at most a minute; once for each.
    In mode aws `--json` also has what SageMaker would be asked for.
    """
    from benchmark import words
    from benchmark.planned import planned, probing
    from benchmark.searching import outlook

    found = planned(experiment, settings, results, only, probing(_tell_probes) if probe else None)
    forecast, total = found.plan.forecast(), found.estimate()
    if as_json:
        sent = found.requests
        cells = [{"run_id": c.run.run_id, "configuration_id": c.run.configuration_id, "state": c.state, "why": c.why,
                  "model": c.run.model, "seed": c.run.seed, "data": c.run.data.label,
                  "seconds": forecast.seconds(c.run), "hyperparameters": c.run.hyperparameters, **sent(c.run)}
                 for c in found.cells]  # fmt: skip
        document = dataclasses.asdict(total) if total else None
        name = found.plan.experiment.name
        print_json({"experiment": name, "cells": cells, "forecast": document, **outlook(found.plan)})
        return
    for line in words.plan_lines(found.cells, found.names, forecast):
        click.echo(line)
    for line in (words.plan_summary(found.cells, total), *words.search(outlook(found.plan))):
        click.echo(line)
    if any(cell.state == "new" for cell in found.cells) or words.search(outlook(found.plan)):
        run, status = (words.command(experiment, settings, verb) for verb in ("run", "status"))
        click.echo(f"next: {run}\nwhile it runs, in another terminal: {status}")


@main.command()
@common
def validate(experiment: Path | None, settings: tuple[str, ...], results: Path, as_json: bool) -> None:
    """Check the YAML, its data and its models; every error at once.  Nothing is started."""
    from benchmark.planned import planned

    found = planned(experiment, settings, results)
    name, number = found.plan.experiment.name, len(found.plan.cells)
    data = ", ".join(dict.fromkeys(cell.run.data.label for cell in found.plan.cells))
    if as_json:
        print_json({"experiment": name, "valid": True, "runs": number})
    else:
        click.echo(f"{found.plan.experiment.path}: {name}, {number} run{'s' * (number != 1)} on {data}, valid")


@main.command()
@common
def status(experiment: Path | None, settings: tuple[str, ...], results: Path, as_json: bool) -> None:
    """How far the experiment is: done, failed, under way, left."""
    from benchmark.status import status

    found = status(experiment, settings, results)
    if as_json:
        print_json(found.document)
        return
    for line in found.lines:
        click.echo(line)


@main.command()
@common
def sync(experiment: Path | None, settings: tuple[str, ...], results: Path, as_json: bool) -> None:
    """Publish to MLflow what waits on disk because it was away.  Nothing is trained."""
    from benchmark.publishing import Trouble
    from benchmark.syncing import Syncing

    syncing, say = Syncing.open(experiment, settings, results), teller(as_json)
    for event in syncing.events():
        if isinstance(event, Trouble):
            say(f"MLflow: {event.message}")
    summary = syncing.conclude()
    for line in summary.lines:
        say(line)
    if as_json:
        print_json(summary.document)
    sys.exit(summary.exit_code)


def _tell_probes(done: int, total: int) -> None:
    """One line that is written over; nothing where there is no terminal, or nothing to measure."""
    if total and sys.stderr.isatty():
        click.echo(f"\rmeasuring training steps on this machine: {done}/{total}\033[K", nl=done == total, err=True)


def _tell_progress(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty() and (done == total or total < FEW or not done % 16):
        bar = "#" * (BAR * done // total)
        click.echo(f"\r{what} [{bar:.<{BAR}}] {done:,} of {total:,}\033[K", nl=done == total, err=True)


for each in (
    report,
    compare,
    diff,
    ui,
    logs,
    lr,
    export,
    stop,
    rm,
    reproduce,
    rehearse,
    init,
    data,
    doctor,
    schema,
    models,
):
    main.add_command(each)


def entry() -> NoReturn:
    """The program."""
    collector.seldom()
    try:
        main(prog_name="python -m benchmark")
    finally:
        gc.freeze()  # at its end Python would look through everything that MLflow has imported: most of a second
    raise AssertionError("click exits")


if __name__ == "__main__":
    entry()
