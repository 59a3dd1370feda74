"""A thread that keeps MLflow up to date from run directories, so that training never waits for the tracker.

The sweep says which runs have something new; the thread publishes them one after another.  What cannot be published now
(a server that is down) stays marked as unpublished in the journal and is tried again, in this sweep or the next.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.mlflow_store import RunTrackingError, TrackingError
from benchmark.run import Run
from benchmark.rundir import RunDir

if TYPE_CHECKING:
    from benchmark.tracking import Publisher

BACKOFF_SECONDS = (1.0, 5.0, 15.0, 60.0)


@dataclass(frozen=True)
class Request:
    """A run with something new in its run directory."""

    run: Run
    rundir: RunDir
    uuid: str
    mlflow_run_id: str | None
    name: str
    started: float


@dataclass(frozen=True)
class Published:
    """MLflow has the run; ``commit`` is set when it has all of it."""

    run: Run
    mlflow_run_id: str
    commit: str | None


@dataclass(frozen=True)
class Trouble:
    """The tracker refused or did not answer; the results wait on disk."""

    message: str


class Publishing:
    """Owns the :class:`Publisher`, which ``make`` makes in the thread, since importing MLflow takes seconds.

    ``publisher`` is ``None`` until then; after :meth:`close` the caller may use it.
    """

    def __init__(self, make: Callable[[], Publisher]) -> None:
        self._make = make
        self._waiting: dict[str, Request] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._replies: queue.SimpleQueue[Published | Trouble] = queue.SimpleQueue()
        self._ids: dict[str, str] = {}
        self._thread = threading.Thread(target=self._work, name="publishing", daemon=True)
        self.publisher: Publisher | None = None
        self._thread.start()

    def notify(self, request: Request) -> None:
        """Has a run published soon; several notices of one run become one."""
        with self._changed:
            self._waiting[request.run.run_id] = request
            self._changed.notify()

    def replies(self) -> Iterator[Published | Trouble]:
        """What happened since the last call."""
        while not self._replies.empty():
            yield self._replies.get()

    def close(self, timeout: float) -> bool:
        """Asks the thread to end when nothing waits any more; whether it has ended within ``timeout`` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        failures = 0
        while (request := self._next()) is not None:
            try:
                self.publisher = self.publisher or self._make()
                self._replies.put(self._publish(self.publisher, request))
                failures = 0
            except RunTrackingError as error:
                self._replies.put(Trouble(str(error)))
            except TrackingError as error:
                self._replies.put(Trouble(str(error)))
                failures += 1
                if self._closing:
                    if failures > 1:
                        return
                else:
                    self._put_back(request)
                    self._pause(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1])
            except Exception as error:  # a run whose files cannot be drawn or read must not keep back the others
                self._replies.put(Trouble(f"run {request.run.run_id} cannot be published: {error!r}"))

    def _publish(self, publisher: Publisher, request: Request) -> Published:
        known = self._ids.get(request.run.run_id, request.mlflow_run_id)
        found = publisher.publish(
            request.run, request.rundir, request.uuid, known, name=request.name, started=request.started
        )
        self._ids[request.run.run_id] = found.mlflow_run_id
        return Published(request.run, found.mlflow_run_id, found.commit)

    def _next(self) -> Request | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if not self._waiting:
                return None
            return self._waiting.pop(next(iter(self._waiting)))

    def _put_back(self, request: Request) -> None:
        with self._changed:
            self._waiting.setdefault(request.run.run_id, request)

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            self._changed.wait_for(lambda: self._closing, max(0.0, deadline - time.monotonic()))
