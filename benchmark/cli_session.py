"""What `run` and `rehearse` have in common: a session is carried out, and told."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from benchmark.cli_options import ask_what_becomes_of_jobs, print_json, teller
from benchmark.session import Session
from benchmark.sweep_events import Stopping
from benchmark.terminal import choose


def carry_out(session: Session, *, as_json: bool, yes: bool, then: Callable[[], list[str]] = lambda: []) -> int:
    """Runs everything, and tells what happens and, in the end, what ``then`` has to say; the exit code.

    Args:
        yes: money may be spent without asking.
    """
    say = teller(as_json)
    for line in (session.opening, *session.cautions):
        say(line)
    if session.costs_money and not yes and sys.stdin.isatty():
        click.confirm("Start?", abort=True, err=as_json)
    expected = session.site.forecast.seconds
    view = choose(session.narrator, say, as_json, todo=session.todo, workers=session.workers, expected=expected)
    with view as terminal:
        for event in session.events():
            terminal.show(event)
            if isinstance(event, Stopping) and event.how == "ask" and sys.stdin.isatty():
                with terminal.paused():
                    session.interrupt.choice = ask_what_becomes_of_jobs(err=as_json)
    summary = session.conclude()
    for line in [*summary.lines, *then()]:
        say(line)
    if as_json:
        print_json(summary.document)
    return summary.exit_code
