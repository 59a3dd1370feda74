"""Publishes what waits on disk because the tracker was away, without training anything.

    syncing = Syncing.open(Path("experiments.yaml"), (), Path("results"))
    for event in syncing.events(): ...
    print(syncing.conclude().lines)

It is a sweep with nothing to run: one experiment is held, and one way to publish is taken, whatever the command.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import ENVIRONMENT
from benchmark.mlflow_store import TrackingError
from benchmark.options import Options
from benchmark.reporting import Summary
from benchmark.session import Session
from benchmark.sweep import SweepEvent


@dataclass
class Syncing:
    """One `sync` of the command: holds the experiment from :meth:`open` to :meth:`conclude`."""

    session: Session
    waited: int

    @classmethod
    def open(cls, path: Path | None, settings: Sequence[str], results: Path) -> Syncing:
        """Plans, and takes hold of the experiment.

        Raises:
            ConfigError, DataError, NoRoom, Busy, JournalError: what is in the way.
        """
        session = Session.open(path, settings, results, Options(train=False))
        return cls(session, session.presenting.waiting)

    def events(self) -> Iterator[SweepEvent]:
        """Publishes, for as long as the tracker answers and nobody presses Ctrl-C."""
        return self.session.events(math.inf)

    def conclude(self) -> Summary:
        """Publishes the view and the leaderboard's files, and lets go of the experiment.

        Returns:
            What was published; the exit code is that of the environment while anything waits.
        """
        with self.session.stack:
            waits = self.session.presenting.waiting
            line, published = self._present(waits)
            self.session.site.journal.close()
        number = self.waited - waits
        lines = (f"{number} run{'s' * (number != 1)} published, {waits} wait{'s' * (waits == 1)}", line)
        document = {"published": number, "waiting": waits, "complete": published}
        return Summary(lines, document, 0 if published else ENVIRONMENT)

    def _present(self, waits: int) -> tuple[str, bool]:
        if waits:
            return "MLflow does not have everything yet: sync again when it is back", False
        try:
            return self.session.presenting.present(), True
        except TrackingError as error:
            return f"MLflow: {error}; sync again when it is back", False
