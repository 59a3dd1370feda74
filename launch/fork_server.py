"""A warm process that forks workers: ``python fork_server.py CHANNEL MODULE...``; started by :mod:`launch.warm`.

It imports what every job needs and computes nothing: a process that forks after an OpenMP region, with threads, or with
CUDA in use, has children that hang or crash.  Whether all is well is told once, when it is ready.

The channel is a socket of whole messages.  A request is the worker's number, with two open files: the order (JSON) and
the lock that the job is to hold.  The replies are JSON: ``{"ready": true}``; ``{"id", "pid"}`` after a fork; ``{"id",
"code"}`` when the worker has ended (negative: the signal).  At the end of the channel the server ends; its workers go
on.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

if __name__ == "__main__":
    # Run as a script, Python puts this folder first on the path, where `local.py` and others could shadow libraries.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmark import collector, plainfile
from benchmark.failpoints import reach
from launch import processes, worker
from launch.order import Order


class ForkServer:
    """Serves one channel until it is closed."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._workers: dict[int, int] = {}
        self._wake, wakeup = os.pipe()
        for handle in (self._wake, wakeup):
            os.set_blocking(handle, False)
        self._private = (channel.fileno(), self._wake, wakeup)
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Forks and reaps."""
        while True:
            ready, _, _ = select.select([self._channel.fileno(), self._wake], [], [])
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._reap()
            if self._channel.fileno() in ready:
                message, handles, _, _ = socket.recv_fds(self._channel, 16, 2)
                if not message:
                    return
                self._fork(int(message), *handles)

    def _fork(self, number: int, order_file: int, lock: int) -> None:
        order = Order.read(order_file)
        os.close(order_file)
        try:
            pid = os.fork()
        except OSError as error:
            self._say({"id": number, "error": str(error)})
        else:
            if pid == 0:
                self._become(order)
            self._workers[pid] = number
            reach("server.forked")
            self._say({"id": number, "pid": pid})
        os.close(lock)

    def _become(self, order: Order) -> NoReturn:
        """The child's whole life: nothing of the server's may run in it again."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for handle in self._private:
                os.close(handle)
            _dress(order)
            code = worker.perform(str(order.entry))
        except BaseException:
            traceback.print_exc()
        finally:
            _leave(code)

    def _reap(self) -> None:
        for pid in list(self._workers):
            code = processes.reap_group(pid)
            if code is not None:
                self._say({"id": self._workers.pop(pid), "code": code})

    def _say(self, reply: dict[str, Any]) -> None:
        try:
            self._channel.send(json.dumps(reply).encode())
        except OSError:  # nobody listens any more: the end of the channel is read next
            return


def _dress(order: Order) -> None:
    """Session, working directory, log, environment, cores: what a started process would have been given."""
    os.setsid()
    os.environ.clear()
    os.environ.update(order.environment)
    os.chdir(order.attempt)
    log = plainfile.opened("log.txt", os.O_WRONLY | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    worker.settle(order.attempt, order.cores)


def _leave(code: int) -> NoReturn:
    """Ends without the interpreter's long good-bye, during which libraries take down what they never set up here."""
    threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing does: waits for threads that must finish
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _warm_up(modules: list[str], channel: socket.socket) -> str | None:
    """Imports; why forking would not be safe, or ``None``.  Nobody waits for it any more: it ends."""
    with collector.paused():
        for name in modules:
            importlib.import_module(name)
            if select.select([channel.fileno()], [], [], 0)[0]:  # nothing is asked before it is ready: this is the end
                sys.exit()
    threads = processes.threads()
    if threads > 1:
        return f"{threads} threads run after the imports"
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        return "CUDA is in use after the imports"
    gc.freeze()  # what is there now is never looked at by a child's collector, so its pages stay shared
    return None


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    reason = _warm_up(sys.argv[2:], channel)
    with contextlib.suppress(ConnectionError):  # the orchestrator has ended, perhaps without reading what was said
        channel.send(json.dumps({"ready": reason is None, "reason": reason}).encode())
        reach("server.ready")
        if reason is None:
            ForkServer(channel).serve()


if __name__ == "__main__":
    main()
