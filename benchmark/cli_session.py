"""What `run` and `rehearse` have in common: a session is carried out, and told."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from benchmark.cli_options import ask_what_becomes_of_jobs, print_json, teller
from benchmark.reporting import Summary
from benchmark.session import Options, Session
from benchmark.sweep_events import Stopping
from benchmark.terminal import choose


def carry_out(
    begin: Callable[[Options], Session],
    options: Options,
    *,
    as_json: bool,
    yes: bool,
    then: Callable[[], list[str]] = lambda: [],
) -> int:
    """Runs everything, and tells what happens and, in the end, what ``then`` has to say; the exit code.

    A search that chooses its runs by what others came to has a session for each choice.

    Args:
        yes: money may be spent without asking.
    """
    say, left = teller(as_json), options
    while True:
        session = begin(left)
        summary = _one(session, say, as_json=as_json, yes=yes or left is not options)
        further = session.options_left(left) if summary.more else None
        if further is None:
            break
        left = further
        say(summary.lines[0])
    for line in [*summary.lines, *then()]:
        say(line)
    if as_json:
        print_json(summary.document)
    return summary.exit_code


def _one(session: Session, say: Callable[[str], None], *, as_json: bool, yes: bool) -> Summary:
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
    return session.conclude()
