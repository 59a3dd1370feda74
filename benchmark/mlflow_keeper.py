"""Keeps one MLflow server until whoever started it goes away: started as ``python -m benchmark.mlflow_keeper``.

    python -P -m benchmark.mlflow_keeper RECORD PORT LOCK [--attached]

The store's address comes in ``MLFLOW_BACKEND_STORE_URI``, never among the arguments, which everybody may read.  The
descriptor ``LOCK`` is inherited locked and handed on to the server: the lock is held for as long as either lives.  With
``--attached`` the end of standard input ends the server, so that none is left behind however its user's command died.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from benchmark.durable import write_json

HOST = "127.0.0.1"
PATIENCE_SECONDS = 2.0
"""For the server to end by itself; it may wait for a browser much longer, and SQLite loses nothing by a kill."""


def command(port: int) -> list[str]:
    """What serves; on this machine alone, by one process."""
    return [sys.executable, "-P", "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]


def keep(record: Path, port: int, lock: int, *, attached: bool) -> int:
    """Serves, and writes down who does; the server's exit code, as a shell gives it."""
    _on_signals(lambda signum, frame: sys.exit(0))
    if attached:
        threading.Thread(target=_await_end, daemon=True).start()
    server = subprocess.Popen(
        command(port), stdin=subprocess.DEVNULL, pass_fds=(lock,), start_new_session=True, cwd=record.parent
    )
    try:
        write_json(record, {"server": server.pid, "port": port})
        code = server.wait()
        return code if code >= 0 else 128 - code
    finally:
        _on_signals(signal.SIG_IGN)
        _close(server)


def end(group: int, how: signal.Signals = signal.SIGTERM) -> None:
    """Ends the server and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(group, how)


def _close(server: subprocess.Popen[bytes]) -> None:
    end(server.pid)
    with suppress(subprocess.TimeoutExpired):
        server.wait(PATIENCE_SECONDS)
    end(server.pid, signal.SIGKILL)
    server.wait()


def _on_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, handler)


def _await_end() -> None:
    """Until nobody holds the other end of standard input any more."""
    while os.read(0, 1):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), attached="--attached" in sys.argv[4:]))
