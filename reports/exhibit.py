"""All that a page shows of one table: its rows, what their numbers are worth, trade-offs and evidence."""

from __future__ import annotations

from dataclasses import dataclass, field

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
