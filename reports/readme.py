"""The leaderboard as a block of somebody's README, between two markers.

<!-- benchmark:begin -->
<!-- benchmark:end -->
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from reports.exhibit import Exhibit
from reports.grid import ranking
from reports.leaderboard import Leaderboard
from reports.markdown import FIGURES
from reports.summary import best, headline
from reports.text import markdown

BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"


class BadMarkers(ValueError):
    """The text has no place for the block."""


def block(leaderboard: Leaderboard, shown: Sequence[Exhibit], results: Path, readme: Path) -> str:
    """What was run, what is best, each table, and quality against training time.

    Args:
        leaderboard: all of it.
        shown: belongs to its tables, in order.
        results: where its files, figures among them, are written.
        readme: the directory of the README, from which links lead; what does not lie below it is not linked.
    """
    blocks = [headline(leaderboard)]
    for place, each in enumerate(shown, 1):
        several = len(shown) > 1
        blocks += [f"### {markdown(each.table.data.label)}"] if several else []
        blocks += [best(each), ranking(each, readme)] if each.table.rows else ["No run has finished."]
        picture = results / FIGURES / f"{f'{place}-' if several else ''}quality-vs-training.svg"
        blocks += _image(picture, readme)
    return "\n\n".join(each for each in blocks if each)


def replaced(text: str, content: str) -> str:
    """``text`` with ``content`` between its markers; all else stays, to the byte, and so do its line ends.

    Raises:
        BadMarkers: they are missing, twice there, or the wrong way round.
    """
    for marker in (BEGIN, END):
        if (found := text.count(marker)) != 1:
            raise BadMarkers(f"has the line {marker} {found} times; write it once, and {BEGIN} before {END}")
    before, rest = text.split(BEGIN)
    if END not in rest:
        raise BadMarkers(f"{END} stands before {BEGIN}")
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = ["", *content.splitlines(), ""]
    return before + BEGIN + newline.join(lines) + END + rest.split(END)[1]


def _image(picture: Path, readme: Path) -> list[str]:
    path = Path(os.path.relpath(picture, readme))
    if not picture.exists() or path.parts[0] == "..":
        return []
    return [f"![quality against training time]({quote(path.as_posix())})"]
