"""Which of many training jobs have ended, by one listing for all of them instead of a question about each.

SageMaker lists what has been modified since a time; only for a job that such a listing tells of is more asked.  What a
listing says is a hint and no more: a job's end is believed when the job itself was described, and a job that no listing
tells of is described now and then all the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from launch import aws_clients
from launch.aws_clients import Clients
from launch.aws_outcome import has_ended
from launch.aws_pace import Pace
from launch.aws_slots import now

LISTS_PER_SECOND = 1.0
"""AWS allows two."""
FEW = 8
"""So many jobs are asked for one by one."""
PAGE = 100
OVERLAP_SECONDS = 60.0
"""A listing goes back so far behind the newest that was seen: AWS does not say that it tells of a change at once."""
FIRST_SECONDS = 600.0
"""The first one goes back so far behind this machine's clock; one that is further off is refused by AWS."""
MISSED = 3
"""After so many intervals without a listing nothing is known."""
DENIED = (
    "AWS does not let you list training jobs: each is asked for by itself, and its end is seen later; "
    "docs/sagemaker.md has a policy with sagemaker:ListTrainingJobs"
)


@dataclass
class Roll:
    """Of the jobs whose names it was given.  From several threads.

    Args:
        interval: seconds between two listings.
        tell: says something to the user.
    """

    clients: Clients
    interval: float
    tell: Callable[[str], None]
    clock: Callable[[], float] = now
    pace: Pace = field(default_factory=lambda: Pace(LISTS_PER_SECOND, burst=1))
    _names: set[str] = field(default_factory=set)
    _changed: set[str] = field(default_factory=set)
    _newest: datetime | None = None
    _due: float = 0.0
    _heard: float = float("-inf")
    _denied: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, name: str) -> None:
        """From now on a job of this name is looked for."""
        with self._lock:
            self._names.add(name)

    def forget(self, name: str) -> None:
        """It has ended."""
        with self._lock:
            self._names.discard(name)
            self._changed.discard(name)

    def take(self, name: str) -> bool:
        """Whether there is news of a job; only the first who asks is told."""
        if name not in self._changed:
            return False
        with self._lock:
            self._changed.discard(name)
        return True

    @property
    def vouches(self) -> bool:
        """Whether a job of which there is no news can be taken to be as it was."""
        return self.clock() - self._heard < MISSED * self.interval

    def is_due(self) -> bool:
        """Whether somebody should :meth:`look`; true once an interval, and where there are many jobs."""
        with self._lock:
            if self._denied or len(self._names) <= FEW or self.clock() < self._due:
                return False
            self._due = self.clock() + self.interval
            return True

    def look(self) -> None:
        """Lists what has changed; what goes wrong is left to the next time, and to whoever asks for single jobs."""
        try:
            found = list(self._pages())
        except aws_clients.FAILURES as error:
            if aws_clients.trouble(error) == "denied":
                self._denied = True
                self.tell(DENIED)
            return
        with self._lock:
            self._changed |= {each["TrainingJobName"] for each in found if _matters(each)} & self._names
            self._newest = max((each["LastModifiedTime"] for each in found), default=self._newest)
            self._heard = self.clock()

    def _pages(self) -> Iterator[Mapping[str, Any]]:
        """No status is asked for: AWS takes that out of each page, and saves nothing."""
        with self._lock:
            common = _common(self._names)
        since = self._newest.timestamp() - OVERLAP_SECONDS if self._newest else time.time() - FIRST_SECONDS
        asked = {
            "NameContains": common,
            "LastModifiedTimeAfter": datetime.fromtimestamp(since, UTC),
            "MaxResults": PAGE,
        }
        while True:
            self.pace.wait("list")
            page = self.clients("sagemaker").list_training_jobs(**asked)
            yield from page["TrainingJobSummaries"]
            if not (token := page.get("NextToken")):
                return
            asked["NextToken"] = token


def _common(names: Collection[str]) -> str:
    """What all of them begin with."""
    first, last = min(names), max(names)
    return first[: next((at for at, each in enumerate(first) if each != last[at : at + 1]), len(first))]


def _matters(summary: Mapping[str, Any]) -> bool:
    """An end, or a spot instance that was taken back; that a job begins to train changes nothing for us."""
    return has_ended(summary) or summary.get("SecondaryStatus") == "Interrupted"
