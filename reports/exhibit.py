"""All that a page shows of one table: its rows, what their numbers are worth, trade-offs and evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from reports.evidence import Evidence, read
from reports.leaderboard import Leaderboard, Row, Table
from reports.study import Study, study
from reports.tradeoffs import Tradeoffs, tradeoffs


@dataclass(frozen=True)
class Exhibit:
    """A table with its study, trade-offs and evidence."""

    table: Table
    primary: str
    study: Study = field(default_factory=Study)
    tradeoffs: Tradeoffs = field(default_factory=Tradeoffs)
    evidence: Evidence = field(default_factory=Evidence)

    def row(self, configuration_id: str) -> Row:
        return next(row for row in self.table.rows if row.configuration_id == configuration_id)

    def label(self, configuration_id: str) -> str:
        """The name of a configuration of the table, else its id."""
        return self._labels.get(configuration_id, configuration_id)

    def is_tied(self, row: Row) -> bool:
        """Whether a row is not told apart from the best."""
        found = self.study.versus.get(row.configuration_id)
        return found.tied if found else False

    @cached_property
    def sharing(self) -> Mapping[int | None, int]:
        """Rank -> how many rows have it."""
        return Counter(row.rank for row in self.table.rows)

    @cached_property
    def _labels(self) -> Mapping[str, str]:
        return {row.configuration_id: row.label for row in self.table.rows}

    @property
    def troubles(self) -> tuple[str, ...]:
        """What could not be read, for a reader."""
        return tuple(dict.fromkeys((*self.evidence.troubles, *self.study.troubles)))


def exhibits(leaderboard: Leaderboard) -> tuple[Exhibit, ...]:
    """One for each table, read from the run directories."""
    primary = leaderboard.header.primary
    return tuple(
        Exhibit(table, primary, study(table, primary), tradeoffs(table, primary), read(table, primary))
        for table in leaderboard.tables
    )
