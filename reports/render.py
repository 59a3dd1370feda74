"""Writes a leaderboard: ``leaderboard.md``, ``.html``, ``.csv``, ``.json`` and ``figures/``.

    write(build(entries, header), Path("results/fashion-tour"))

Each file appears whole or not at all, the page last, so that what it shows is there.  The same leaderboard over the
same run directories gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.durable import atomic
from benchmark.failpoints import reach
from reports import html
from reports.documents import document, json_text, table_text
from reports.exhibit import exhibits
from reports.figures import png_bytes, svg_bytes
from reports.leaderboard import Leaderboard
from reports.markdown import FIGURES, page
from reports.pictures import OURS, Picture, pictures
from reports.style import looks


def write(
    leaderboard: Leaderboard, directory: Path, thumbnails: html.Thumbnails = html.no_thumbnails
) -> dict[str, Any]:
    """Writes the files into ``directory``, which is made if missing; figures that an earlier report left and this one
    does not have are deleted, other files stay.  ``thumbnails`` gives the pictures of test images.

    Returns:
        the document of ``leaderboard.json``.
    """
    given = looks(leaderboard.looking)
    styles = {key: given[name] for key, name in leaderboard.alike.items()}
    found = exhibits(leaderboard)
    prefixes = [f"{place}-" if len(found) > 1 else "" for place in range(1, len(found) + 1)]
    shown = [(each, pictures(each, styles, prefix)) for each, prefix in zip(found, prefixes, strict=True)]
    _write_figures([each for _, drawn in shown for each in drawn.all], directory / FIGURES)
    told = document(leaderboard, found)
    _write_text(directory / "leaderboard.json", json_text(told))
    _write_text(directory / "leaderboard.csv", table_text(leaderboard, found))
    _write_text(directory / "leaderboard.html", html.page(leaderboard, found, directory, thumbnails))
    _write_text(directory / "leaderboard.md", page(leaderboard, shown, directory))
    return told


def _write_figures(drawn: list[Picture], directory: Path) -> None:
    written = set()
    for each in drawn:
        for suffix, content in ((".svg", svg_bytes(each.figure)), (".png", png_bytes(each.figure))):
            with atomic(directory / f"{each.stem}{suffix}") as file:
                file.write(content)
            written.add(f"{each.stem}{suffix}")
    for path in directory.glob("*"):
        if path.name not in written and OURS.fullmatch(path.name):
            path.unlink()


def _write_text(path: Path, text: str) -> None:
    """UTF-8; half a surrogate pair, which a file's name may bring, is written as its escape."""
    with atomic(path) as file:
        file.write(text.encode("utf-8", errors="backslashreplace"))
        reach("report.unnamed")
