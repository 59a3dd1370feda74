"""Commands that take runs by the beginnings of their ids: logs, stop, rm, reproduce."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchmark.cli_options import (
    asking,
    common,
    json_option,
    print_json,
    results_option,
    runs_and_experiment,
    set_option,
    teller,
)


@click.command()
@click.argument("run_id", metavar="RUN")
@common
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written, until the run has ended.")
def logs(
    run_id: str, experiment: Path | None, settings: tuple[str, ...], results: Path, as_json: bool, follow: bool
) -> None:
    """Print the log of the latest attempt at RUN, named by the beginning of its id."""
    from benchmark import outside
    from benchmark.planned import planned

    found = planned(experiment, settings, results)
    run = outside.run_named(found.plan, found.names, run_id)
    parts = outside.log(found.plan, run, follow=follow)
    if as_json:
        print_json({"run_id": run.run_id, "log": b"".join(parts).decode(errors="replace")})
        return
    for part in parts:
        click.echo(part, nl=False)


@click.command()
@click.argument("words", metavar="[RUN]... [EXPERIMENT.YAML]", nargs=-1)
@set_option
@results_option
@json_option
@click.option("--drain", is_flag=True, help="Let what runs finish first.")
def stop(words: tuple[str, ...], settings: tuple[str, ...], results: Path, as_json: bool, drain: bool) -> None:
    """Stop the sweep, which `run` takes up again; or each RUN, which then needs `run --retry`."""
    from benchmark import outside
    from benchmark.planned import planned

    runs, experiment = runs_and_experiment(words)
    if runs and drain:
        raise click.UsageError("--drain is for the whole sweep")
    found = planned(experiment, settings, results)
    if runs:
        named = [outside.run_named(found.plan, found.names, each) for each in runs]
        said = "\n".join(outside.stop_run(found.plan, each) for each in named)
    else:
        said = outside.stop_sweep(found.plan, drain=drain)
    if as_json:
        print_json({"stopped": said})
    else:
        click.echo(said)


@click.command()
@click.argument("words", metavar="[RUN]... [EXPERIMENT.YAML]", nargs=-1)
@set_option
@results_option
@click.option("--unplanned", is_flag=True, help="Also every run that the YAML no longer asks for.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def rm(words: tuple[str, ...], settings: tuple[str, ...], results: Path, unplanned: bool, yes: bool) -> None:
    """Remove the results of RUNs, named by the beginnings of their ids: from the disk, and into MLflow's bin."""
    from benchmark import removing

    runs, experiment = runs_and_experiment(words)
    removal = removing.find(experiment, settings, results, runs, unplanned=unplanned)
    for line in removal.lines:
        click.echo(line)
    if not yes:
        click.confirm("Remove them for good?", abort=True)
    click.echo(removing.remove(removal))


@click.command()
@click.argument("run_id", metavar="RUN")
@common
@click.option("-y", "--yes", is_flag=True, help="Do not ask before money is spent in AWS.")
def reproduce(
    run_id: str, experiment: Path | None, settings: tuple[str, ...], results: Path, as_json: bool, yes: bool
) -> None:
    """Run RUN again from its record, apart, and compare: the same bits, within noise, or different and since when.

    In mode aws that is a training job, outside the budget.  Exit code 1 where it is different beyond noise.
    """
    from benchmark.reproducing import reproduce

    say = teller(as_json)
    found = reproduce(run_id, experiment, settings, results, say, asking(yes=yes, err=as_json))
    for line in found.lines:
        say(line)
    if as_json:
        print_json(found.document)
    sys.exit(found.exit_code)
