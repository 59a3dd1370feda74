"""What has to be done again and again while a job runs, in a thread of its own, and once more at the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Self

LOG = logging.getLogger(__name__)


class Pump:
    """Calls ``tasks`` every ``seconds`` within a ``with`` block; a task that fails is tried again the next time."""

    def __init__(self, tasks: Sequence[Callable[[], None]], seconds: float) -> None:
        self._tasks, self._seconds = tasks, seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._end.wait(self._seconds):
            self._once()

    def _once(self) -> None:
        for task in self._tasks:
            try:
                task()
            except Exception:
                LOG.exception("a copy to S3 or the logs failed, and is tried again")
