"""The command `ui`: the experiment in MLflow's pages."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.cli_options import common, print_json, teller

if TYPE_CHECKING:
    from benchmark.showing import Shown


@click.command()
@common
@click.option("--port", type=click.IntRange(1, 65535), help="Of the server; default: one that is free.")
@click.option("--browser/--no-browser", default=True, help="Whether to open the page; never without a screen.")
@click.option("--detach", is_flag=True, help="Leave the server running in the background; --stop ends it.")
@click.option("--stop", "stopping", is_flag=True, help="End the server in the background.")
def ui(
    experiment: Path | None,
    settings: tuple[str, ...],
    results: Path,
    as_json: bool,
    port: int | None,
    browser: bool,
    detach: bool,
    stopping: bool,
) -> None:
    """Show the experiment in MLflow: its runs in a sorted table, charts, learning curves, side by side.

    Starts MLflow's server on this machine, for this machine alone, or finds the one that shows the same store; Ctrl-C
    ends it.  Where the tracking address is a server, nothing is started.
    """
    from benchmark import showing

    say = teller(as_json)
    if stopping:
        said = showing.stop(experiment, settings, results)
        if as_json:
            print_json({"stopped": said})
        else:
            say(said)
        return
    shown = showing.find(experiment, settings, results)
    if shown.server is None:
        _tell(shown.page, shown.words, browser, as_json)
    elif detach:
        page = shown.at(shown.server.detached(port))
        _tell(
            page, f"{page}\nit is shown in the background; `python -m benchmark ui --stop` ends that", browser, as_json
        )
    else:
        _serve(shown, port, browser, as_json)


def _serve(shown: Shown, port: int | None, browser: bool, as_json: bool) -> None:
    """Until Ctrl-C, unless another command serves already."""
    from benchmark.showing import watch

    assert shown.server is not None
    with shown.server.serving(port) as (address, keeper), suppress(KeyboardInterrupt):
        page = shown.at(address)
        words = "Ctrl-C ends it" if keeper else "the server was running already"
        _tell(page, f"{page}\n{words}", browser, as_json)
        if keeper:
            watch(shown.server, keeper)


def _tell(page: str | None, words: str, browser: bool, as_json: bool) -> None:
    from benchmark.showing import open_page

    if as_json:
        print_json({"page": page, "words": words})
    else:
        click.echo(words)
    if page and browser:
        open_page(page)
