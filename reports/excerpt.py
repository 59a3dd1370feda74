"""The leaderboard's sentences and tables alone, as Markdown and as HTML, for a reader who has no files beside the page.

The HTML is made of the Markdown, so that both always say the same; everything from outside was escaped there, and the
tags that are left are those of :mod:`reports.grid`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markdown_it import MarkdownIt

from reports.exhibit import Exhibit
from reports.grid import notes, ranking
from reports.leaderboard import Leaderboard
from reports.markdown import not_ranked
from reports.summary import best, headline
from reports.text import markdown

NOWHERE = Path("/dev/null")
"""Links would lead from the reader's place, which nobody knows; nothing lies below this one, so that none is made."""
STYLE = """<style>
.tib-leaderboard {overflow-x: auto}
.tib-leaderboard td[style*=right] {white-space: nowrap}
.tib-leaderboard td:nth-child(n+3) {min-width: 2.5em}
</style>
"""
"""Numbers stay on one line; a table that is wider than the page scrolls sideways."""


def excerpt(leaderboard: Leaderboard, shown: Sequence[Exhibit]) -> str:
    """Markdown: what was run, what is best, and the table of each data set with what its numbers mean."""
    blocks = [headline(leaderboard)]
    for each in shown:
        data = each.table.data
        blocks += [f"### {markdown(data.label)} ({data.digest[:8]})"] if len(shown) > 1 else []
        blocks += _section(leaderboard, each)
    blocks += not_ranked(leaderboard, len(shown) > 1)
    return "\n\n".join(block for block in blocks if block) + "\n"


def html(text: str) -> str:
    """The same as HTML."""
    page = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)
    return f'{STYLE}<div class="tib-leaderboard">\n{page}</div>\n'


def _section(leaderboard: Leaderboard, shown: Exhibit) -> list[str]:
    if not shown.table.rows:
        return ["No run has finished."]
    return [best(shown), ranking(shown, NOWHERE), notes(shown, leaderboard.header)]
