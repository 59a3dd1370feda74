"""What MLflow is known to have of one run.  Pure: MLflow is not imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.mlflow_record import COMMIT, FAILURE_TAGS, PROFILE
from benchmark.records import Event


@dataclass(frozen=True)
class Projection:
    """Where a run is in MLflow.  ``commit`` tells what was published, the profile included, and is another when that
    is; ``None`` while the run proceeds."""

    mlflow_run_id: str
    commit: str | None


@dataclass
class Seen:
    """What a publisher remembers of a run, so that the next call sends only what is new.

    ``artifacts`` is where its files are, as MLflow tells; ``commit`` and ``profile`` are the digests of what is there
    whole.  Of a run that is whole neither tags nor events are kept.
    """

    mlflow_run_id: str
    artifacts: str
    commit: str | None
    profile: str | None
    tags: Mapping[str, str]
    described: bool = False
    events: tuple[Event, ...] = ()

    @classmethod
    def of(cls, mlflow_run_id: str, artifacts: str, tags: Mapping[str, str]) -> Seen:
        """Of a run that was found; its failure, if it had one, counts as taken back."""
        commit = tags.get(COMMIT)
        return cls(mlflow_run_id, artifacts, commit, tags.get(PROFILE), _kept(tags), commit is not None)

    def reopen(self, tags: Mapping[str, str]) -> None:
        """The run, found with ``tags``, is not whole any more: its epochs are published anew."""
        self.commit, self.profile, self.tags, self.events = None, None, _kept(tags), ()

    @property
    def projection(self) -> Projection:
        parts = [part for part in (self.commit, self.profile) if part]
        return Projection(self.mlflow_run_id, ":".join(parts) if self.commit else None)

    def new(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """Those of ``events`` that MLflow lacks: all of them, where an attempt began again."""
        known = len(self.events)
        return events[known:] if events[:known] == self.events else events


def _kept(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if name not in FAILURE_TAGS}
