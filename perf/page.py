"""docs/performance.md from the figures that are kept: `python -m perf --page`.

`perf/page.md` is the page by hand, with a line `{{NAME}}` where what a script says of itself and its figures belong.
"""

from __future__ import annotations

import json
import re

from perf.benchmarks import HERE, KEPT, text
from perf.sides import Figure, short, where

PAGE = HERE.parent / "docs" / "performance.md"
PLACE = re.compile(r"^\{\{([a-z-]+)\}\}$", re.MULTILINE)
HEAD = ("| | unit | ours | the other side | ratio | limit | n |", "|---|---|---|---|---|---|---|")


def written() -> str:
    """The whole page."""
    return PLACE.sub(lambda found: section(found[1]), (HERE / "page.md").read_text(encoding="utf-8"))


def section(name: str) -> str:
    """What is compared, how to run it, the figures, the machine."""
    path = KEPT / f"{name}.json"
    if not path.exists():
        return f"{told(text(name))}\n\nNot measured."
    document = json.loads(path.read_text(encoding="utf-8"))
    rows = [row(Figure.of(each)) for each in document["figures"]]
    return "\n".join([told(text(name)), "", *HEAD, *rows, "", where(document["date"], document["machine"])])


def told(docstring: str) -> str:
    """A script's docstring as Markdown: the indented commands become a block of code."""
    paragraphs = docstring.split("\n\n")
    return "\n\n".join(_block(each) if each.startswith("    ") else each.replace(".  ", ". ") for each in paragraphs)


def row(figure: Figure) -> str:
    """Of the table."""
    ratio = figure.ratio
    cells = (
        figure.what,
        figure.unit,
        f"{figure.ours.name}: {figure.ours.words}",
        f"{figure.other.name}: {figure.other.words}" if figure.other else "–",
        f"**{short(ratio)}**" if ratio is not None else "–",
        limit(figure),
        counted(figure),
    )
    return f"| {' | '.join(cells)} |"


def counted(figure: Figure) -> str:
    """Measurements of ours; and of the other side, where they are not as many."""
    ours, other = len(figure.ours.values), len(figure.other.values) if figure.other else 0
    return f"{ours}, {other}" if other not in (0, ours) else str(ours)


def limit(figure: Figure) -> str:
    """What is demanded, and whether it is missed."""
    sign = "≤" if figure.better == "lower" else "≥"
    demands = [f"{sign} {short(figure.most)}"] if figure.most is not None else []
    demands += [f"ratio ≥ {short(figure.least)}"] if figure.least is not None else []
    return ", ".join(demands or ["–"]) + ("" if figure.kept else " *not reached*")


def _block(paragraph: str) -> str:
    lines = (line.removeprefix("    ") for line in paragraph.splitlines())
    return "\n".join(("```sh", *lines, "```"))
