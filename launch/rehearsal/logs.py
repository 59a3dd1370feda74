"""What the hosts of a job say, put line by line into CloudWatch Logs while they run."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

GROUP = "/aws/sagemaker/TrainingJobs"
MOST_EVENTS = 1000
LONGEST = 60_000
"""Characters of one event; CloudWatch takes 256 KiB, and 1 MiB a request."""


class LogStream:
    """Tails one file into one stream; the order of the lines is kept."""

    def __init__(self, path: Path, name: str, client: Any) -> None:
        self._path, self._name, self._client = path, name, client
        self._read = 0
        with contextlib.suppress(client.exceptions.ResourceAlreadyExistsException):
            client.create_log_group(logGroupName=GROUP)
        client.create_log_stream(logGroupName=GROUP, logStreamName=name)

    def sync(self, *, last: bool = False) -> None:
        """Puts the lines that have come since the last time; an unfinished one only if it is the ``last`` time."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        complete = text if last else text[: text.rfind(b"\n") + 1]
        self._read += len(complete)
        lines = complete.decode(errors="replace").split("\n")
        pieces = [line[start : start + LONGEST] for line in lines for start in range(0, len(line), LONGEST)]
        for batch in _batches(pieces):
            self._put(batch)

    def _put(self, lines: list[str]) -> None:
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in lines]
        self._client.put_log_events(logGroupName=GROUP, logStreamName=self._name, logEvents=events)


def _batches(lines: list[str]) -> list[list[str]]:
    return [lines[start : start + MOST_EVENTS] for start in range(0, len(lines), MOST_EVENTS)]
