"""A thread that keeps MLflow up to date from run directories, so that training never waits for the tracker.

The sweep says which runs have something new; the thread publishes them one after another.  A run under way is published
every few seconds, one that has ended at once: so a run of a second is published once, as a whole.  What cannot be
published now (a server that is down) stays marked as unpublished in the journal and is tried again, in this sweep or
the next.
"""

from __future__ import annotations

import dataclasses
import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from benchmark.mlflow_store import RunTrackingError, TrackingError, sqlite_path
from benchmark.run import Run
from benchmark.rundir import RunDir

if TYPE_CHECKING:
    from benchmark.tracking import Publisher

Answer = TypeVar("Answer")

COALESCE_SECONDS = 3.0
"""The first news of a run that has not ended waits so long for more."""
BACKOFF_SECONDS = (1.0, 5.0, 15.0, 60.0)
CLOSING_TRIES = 4
"""At the end so many failures in a row are enough, of a tracker that does answer."""


SERVER_SECONDS = 3.0
"""For each run of a sweep so long, at its end, for a server that has not got everything yet."""
LEAST_SECONDS, MOST_SECONDS = 15.0, 60.0


def patience(uri: str, runs: int) -> float:
    """How many seconds, at the end of a sweep of so many runs, MLflow is waited for: a slow server must not make a
    sweep much longer, since `sync` publishes the rest.  A file is not slow, or :func:`mlflow_store.answers` tells."""
    if sqlite_path(uri):
        return MOST_SECONDS
    return min(MOST_SECONDS, max(LEAST_SECONDS, SERVER_SECONDS * runs))


def within(seconds: float, work: Callable[[], Answer]) -> Answer:
    """What ``work`` returns or raises, unless it takes longer: then it is left to a thread that ends with the process.

    Raises:
        TrackingError: it takes longer.
    """
    if math.isinf(seconds):
        return work()
    future: Future[Answer] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="presenting", daemon=True).start()
    try:
        return future.result(max(0.0, seconds))
    except TimeoutError as error:
        if future.done():
            raise
        raise TrackingError("it is too slow to be waited for") from error


@dataclass(frozen=True)
class Request:
    """A run with something new in its run directory."""

    run: Run
    rundir: RunDir
    uuid: str
    mlflow_run_id: str | None
    name: str
    started: float
    costs: Mapping[str, float | None] = field(default_factory=dict)


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
    """Owns the :class:`Publisher`, which ``make`` makes in the thread when there is something to publish.

    ``publisher`` is ``None`` until then; after :meth:`close` the caller may use it.  ``answers`` says quickly whether
    the tracker can be reached; it is asked after a failure, before anything is tried again.  ``warm_up`` is called in
    the thread at once: importing MLflow takes seconds of a processor, which is idle now and will not be later.
    ``after`` was closed and may still work: two at a time would take each other's runs for duplicates.
    """

    def __init__(
        self,
        make: Callable[[], Publisher],
        answers: Callable[[], bool] = lambda: True,
        warm_up: Callable[[], None] = lambda: None,
        after: Publishing | None = None,
    ) -> None:
        self._after = after
        self._make, self._answers, self._warm_up = make, answers, warm_up
        self._ended: dict[str, Request] = {}
        self._proceeding: dict[str, tuple[float, Request]] = {}  # since when it waits; the oldest is the first
        self._notices: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._closing = False
        self._busy = False
        self._failures, self._away = 0, False
        self._replies: queue.SimpleQueue[tuple[int, Published | Trouble]] = queue.SimpleQueue()
        self._ids: dict[str, str] = {}
        self._thread = threading.Thread(target=self._work, name="publishing", daemon=True)
        self.publisher: Publisher | None = None
        self._thread.start()

    def notify(self, request: Request) -> None:
        """Has a run published soon; several notices of one run become one."""
        with self._changed:
            self._notices[request.run.run_id] += 1
            self._put(request)
            self._changed.notify()

    def replies(self) -> Iterator[Published | Trouble]:
        """What happened since the last call.  A run of which there was news since it was published is not whole."""
        while not self._replies.empty():
            notices, reply = self._replies.get()
            if isinstance(reply, Published) and notices < self._notices[reply.run.run_id]:
                reply = dataclasses.replace(reply, commit=None)
            yield reply

    @property
    def idle(self) -> bool:
        """Whether everything that was to be published has been dealt with, or the tracker is away."""
        with self._changed:
            return bool(self._failures) or not (self._ended or self._proceeding or self._busy)

    def close(self, timeout: float) -> bool:
        """Asks the thread to end when nothing waits any more, or when the tracker is still away.

        Returns:
            Whether it has ended within ``timeout`` seconds.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        self._warm_up()
        if self._after is not None:
            self._after._thread.join()
            self._after = None
        while (request := self._next()) is not None:
            closing = self._closing
            if self._publish(request, self._notices[request.run.run_id]):
                self._failures = 0
                continue
            self._failures += 1
            self._put_back(request)
            if self._closing and self._failures > (1 if self._away else CLOSING_TRIES):
                return
            self._pause(closing)

    def _publish(self, request: Request, notices: int) -> bool:
        """Whether the tracker could be reached."""
        self._away = bool(self._failures) and not self._answers()
        if self._away:
            return False
        try:
            self.publisher = self.publisher or self._make()
            self._replies.put((notices, self._published(self.publisher, request)))
        except RunTrackingError as error:
            self._replies.put((notices, Trouble(str(error))))
        except TrackingError as error:
            if not self._failures:
                self._replies.put((notices, Trouble(str(error))))
            return False
        except Exception as error:  # a run whose files cannot be drawn or read must not keep back the others
            self._replies.put((notices, Trouble(f"run {request.run.run_id} cannot be published: {error!r}")))
        return True

    def _published(self, publisher: Publisher, request: Request) -> Published:
        known = self._ids.get(request.run.run_id, request.mlflow_run_id)
        found = publisher.publish(
            request.run,
            request.rundir,
            request.uuid,
            known,
            name=request.name,
            started=request.started,
            costs=request.costs,
        )
        self._ids[request.run.run_id] = found.mlflow_run_id
        return Published(request.run, found.mlflow_run_id, found.commit)

    def _next(self) -> Request | None:
        """The next run to publish, as soon as there is one; ``None`` when nothing waits and nothing will come."""
        with self._changed:
            self._busy = False
            while not self._ended and not self._closing and (seconds := self._seconds()) != 0:
                self._changed.wait(seconds)
            self._busy = True
            if self._ended:
                return self._ended.pop(next(iter(self._ended)))
            if self._proceeding:
                return self._proceeding.pop(next(iter(self._proceeding)))[1]
            return None

    def _seconds(self) -> float | None:
        """How long the first run under way has still to wait; ``None``: there is none."""
        since = next((since for since, _ in self._proceeding.values()), None)
        return None if since is None else max(0.0, since + COALESCE_SECONDS - time.monotonic())

    def _put(self, request: Request) -> None:
        run_id = request.run.run_id
        if run_id in self._ended or _has_ended(request.rundir):
            self._proceeding.pop(run_id, None)
            self._ended[run_id] = request
        else:
            since, _ = self._proceeding.get(run_id, (time.monotonic(), request))
            self._proceeding[run_id] = (since, request)

    def _put_back(self, request: Request) -> None:
        with self._changed:
            if request.run.run_id not in self._ended and request.run.run_id not in self._proceeding:
                self._put(request)

    def _pause(self, closing: bool) -> None:
        """Longer with every failure, but until closing begins at most; ``closing``: it had, before the last try."""
        place = 0 if closing else min(self._failures, len(BACKOFF_SECONDS)) - 1
        with self._changed:
            self._changed.wait_for(lambda: self._closing != closing, BACKOFF_SECONDS[place])


def _has_ended(rundir: RunDir) -> bool:
    return any((rundir.path / name).exists() for name in ("result.json", "failure.json"))
