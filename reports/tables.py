"""A table in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def grid(head: Sequence[str], align: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Of cells that are Markdown already."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, align, *rows])
