"""A leaderboard that shows itself in a notebook: the sentences and the table of the page, without its figures."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.documents import lines
from reports.excerpt import excerpt, html
from reports.exhibit import Exhibit
from reports.leaderboard import Leaderboard


@dataclass(frozen=True, repr=False)
class Shown:
    """A leaderboard as HTML, as Markdown, and as rows."""

    board: Leaderboard
    exhibits: tuple[Exhibit, ...]

    @property
    def rows(self) -> pd.DataFrame:
        """A row for each configuration, as in ``leaderboard.csv``: rank, means and standard deviations (``… sd``) of
        all metrics, hyperparameters; configurations without a result have no rank."""
        return pd.DataFrame(lines(self.board, self.exhibits))

    def _repr_html_(self) -> str:
        return html(self._repr_markdown_())

    def _repr_markdown_(self) -> str:
        return excerpt(self.board, self.exhibits)

    def __repr__(self) -> str:
        return self._repr_markdown_()
