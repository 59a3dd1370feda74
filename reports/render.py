"""Writes a leaderboard: ``leaderboard.md``, ``.html``, ``.csv``, ``.json`` and ``figures/``.

    write(build(entries, header), Path("results/fashion-tour"))

Each file appears whole or not at all, the page last, so that what it shows is there.  The same leaderboard over the
same run directories gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from benchmark.failpoints import reach
from benchmark.rundir import atomic
from reports import html
from reports.documents import json_text, table_text
from reports.evidence import Evidence, read
from reports.figures import png_bytes, svg_bytes
from reports.leaderboard import Leaderboard, Table
from reports.markdown import FIGURES, page
from reports.pictures import OURS, Picture, Pictures, pictures
from reports.style import Look, looks


def write(leaderboard: Leaderboard, directory: Path, thumbnails: html.Thumbnails = html.no_thumbnails) -> None:
    """Writes the files into ``directory``, which is made if missing; figures that an earlier report left and this one
    does not have are deleted, other files stay.  ``thumbnails`` gives the pictures of test images."""
    styles = looks(leaderboard.models)
    several = len(leaderboard.tables) > 1
    shown = [
        _exhibit(table, leaderboard.header.primary, styles, f"{place}-" if several else "")
        for place, table in enumerate(leaderboard.tables, 1)
    ]
    drawn = [each for _, found in shown for each in found.all]
    _write_figures(drawn, directory / FIGURES)
    _write_text(directory / "leaderboard.json", json_text(leaderboard))
    _write_text(directory / "leaderboard.csv", table_text(leaderboard))
    parts = [html.Part(table) for table in leaderboard.tables]
    _write_text(directory / "leaderboard.html", html.page(leaderboard, parts, directory, thumbnails))
    _write_text(directory / "leaderboard.md", page(leaderboard, shown, directory))


def _exhibit(table: Table, primary: str, styles: dict[str, Look], prefix: str) -> tuple[Evidence, Pictures]:
    evidence = read(table, primary)
    return evidence, pictures(table, evidence, primary, styles, prefix)


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
