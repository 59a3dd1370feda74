"""The orchestrator's end of the fork server: starts it, asks for workers, hears how they ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from launch.order import Order

SERVER = Path(__file__).with_name("fork_server.py")
READY_SECONDS = 300.0
"""A cold disk may need a minute for the libraries."""
REPLY_SECONDS = 60.0


class ServerDied(OSError):
    """The fork server is gone, or cannot fork; the message says which."""


class WarmServer:
    """A fork server of this process.

    Args:
        environment: what the server starts with; each worker gets its own.
        preload: the modules that it imports.
    """

    def __init__(self, environment: Mapping[str, str], preload: Sequence[str]) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(SERVER), str(theirs.fileno()), *preload],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[theirs.fileno()],
            )
        self._ready, self._refusal = False, ""
        self._last = 0
        self._pids: dict[int, int] = {}
        self._errors: dict[int, str] = {}
        self._codes: dict[int, int] = {}
        self.alive = True

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Returns when the server has imported everything.

        Raises:
            ServerDied: it ended instead, or found that it must not fork.
        """
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready:
            if self._refusal:
                raise ServerDied(self._refusal)
            self._hear(deadline)

    def fork(self, order: Order, lock: int) -> int:
        """Starts a worker that holds ``lock``; the number by which :meth:`code` knows it.

        Raises:
            ServerDied: see there.  The worker may have been started nevertheless: then it holds the lock.
        """
        if not self.alive:
            raise ServerDied(self._refusal or "the fork server has died")
        self.wait_until_ready()
        self._last += 1
        self._send(self._last, order, lock)
        deadline = time.monotonic() + REPLY_SECONDS
        while self._last not in self._pids:
            self._hear(deadline)
            if self._last in self._errors:
                raise ServerDied(f"no worker could be forked: {self._errors.pop(self._last)}")
        return self._last

    def process(self, number: int) -> int:
        """The process of a worker."""
        return self._pids[number]

    def code(self, number: int) -> int | None:
        """The exit code of a worker, negative for a signal; ``None`` while it runs.

        Raises:
            ServerDied: nobody will ever know.
        """
        while self.alive and number not in self._codes and self._has_news(time.monotonic()):
            self._take()
        if number not in self._codes and not self.alive:
            raise ServerDied("the fork server has died")
        return self._codes.get(number)

    def wait(self, seconds: float) -> None:
        """Waits for news of a worker, at most so long; a death of the server is told by what is asked of it next."""
        with contextlib.suppress(ServerDied):
            if self._has_news(time.monotonic() + seconds):
                self._take()

    def close(self) -> None:
        """Ends the server; workers that still run go on."""
        self._channel.close()
        self.alive = False
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, number: int, order: Order, lock: int) -> None:
        handle = order.write()
        try:
            socket.send_fds(self._channel, [str(number).encode()], [handle, lock])
        except OSError as error:
            self._bury(f"the fork server does not answer: {error}")
        finally:
            os.close(handle)

    def _hear(self, deadline: float) -> None:
        """Waits for a message and takes it in.

        Raises:
            ServerDied: none will come, or none came before ``deadline``.
        """
        if not self._has_news(deadline):
            self._bury("the fork server does not answer")
        self._take()

    def _has_news(self, deadline: float) -> bool:
        return bool(select.select([self._channel], [], [], max(0.0, deadline - time.monotonic()))[0])

    def _take(self) -> None:
        try:
            message = self._channel.recv(65536)
        except OSError as error:
            self._bury(f"the fork server does not answer: {error}")
        if not message:
            self._bury("the fork server has died")
        self._note(json.loads(message))

    def _note(self, reply: Mapping[str, Any]) -> None:
        if "ready" in reply:
            self._ready = reply["ready"]
            if not self._ready:
                self._refusal = f"forking is not safe here: {reply['reason']}"
                raise ServerDied(self._refusal)
        elif "pid" in reply:
            self._pids[reply["id"]] = reply["pid"]
        elif "code" in reply:
            self._codes[reply["id"]] = reply["code"]
        else:
            self._errors[reply["id"]] = reply["error"]

    def _bury(self, message: str) -> NoReturn:
        self.close()
        raise ServerDied(message)
