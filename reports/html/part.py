"""What the page shows of one table, and where its pictures come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from reports.leaderboard import Row, Table
from reports.study import Study
from reports.tradeoffs import Tradeoffs

Thumbnails = Callable[[str, Sequence[str]], Mapping[str, bytes]]
"""From a data digest and ids of images to small PNGs, of those that can be had."""


def no_thumbnails(digest: str, ids: Sequence[str]) -> Mapping[str, bytes]:
    """Where the images are elsewhere."""
    return {}


@dataclass(frozen=True)
class Part:
    """A table with what is known of it; ``troubles`` say what could not be read for its figures."""

    table: Table
    study: Study = field(default_factory=Study)
    tradeoffs: Tradeoffs = field(default_factory=Tradeoffs)
    troubles: tuple[str, ...] = ()

    def label(self, configuration_id: str) -> str:
        """The name of a configuration of the table, else its id."""
        return self._labels.get(configuration_id, configuration_id)

    def is_tied(self, row: Row) -> bool:
        """Whether a row shares the first place: it is not told apart from the best, or is as good to the last bit."""
        found = self.study.versus.get(row.configuration_id)
        return found.tied if found else False

    @property
    def _labels(self) -> Mapping[str, str]:
        return {row.configuration_id: row.label for row in self.table.rows}
