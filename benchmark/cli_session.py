"""What `run` and `rehearse` have in common: a session is carried out, and told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack

from benchmark.cli_options import ask_what_becomes_of_jobs, asking, print_json, teller
from benchmark.errors import exit_code, message
from benchmark.options import Options
from benchmark.reporting import Summary
from benchmark.session import Session
from benchmark.site import signals
from benchmark.sweep_events import Stopping
from benchmark.terminal import choose

LATER = "`run` again goes on; `sync` publishes the leaderboard in MLflow"


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
    say, asked, left = teller(as_json), yes, options
    with ExitStack() as stack:
        summary = None
        while summary is None or summary.more:
            try:
                session = begin(left)
            except Exception as error:
                code = exit_code(error)
                if summary is None or code is None:
                    raise
                lines = (*summary.lines, message(error), LATER)  # what is done is done, and told
                summary = Summary(lines, summary.document, code)
                break
            summary = _one(session, say, as_json=as_json, yes=asked)
            asked, left = asked or session.costs_money, session.options_left
            if summary.more:
                if session.options.earlier is None:  # no request is lost between two sessions
                    stack.enter_context(signals(session.interrupt))
                for line in (summary.lines[0], *session.passed_over):
                    say(line)
    for line in [*summary.lines, *then()]:
        say(line)
    if as_json:
        print_json(summary.document)
    return summary.exit_code


def _one(session: Session, say: Callable[[str], None], *, as_json: bool, yes: bool) -> Summary:
    for line in (session.opening, *session.cautions):
        say(line)
    if session.costs_money:
        asking(yes=yes, err=as_json)()
    expected = session.site.forecast.seconds
    view = choose(session.narrator, say, as_json, todo=session.todo, workers=session.workers, expected=expected)
    with view as terminal:
        for event in session.events():
            terminal.show(event)
            if isinstance(event, Stopping) and event.how == "ask" and sys.stdin.isatty():
                with terminal.paused():
                    session.interrupt.choice = ask_what_becomes_of_jobs(err=as_json)
    return session.conclude()
