"""A process that dies with its parent, also where that is killed and can tell nobody: Linux's parent-death signal.

torchrun starts its workers in sessions of their own, which the signals for the job's group do not reach.  So torchrun
dies with the job, and each worker with torchrun.

Limits: Linux only.  A worker that is still importing when torchrun is killed dies as soon as it begins to work.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import MutableMapping

SESSION = "BENCHMARK_SESSION"
"""The session of the job that watches over its workers."""
_PR_SET_PDEATHSIG = 1


def tie(parent: int) -> None:
    """Ties this process to the one that started it, whose number is ``parent``."""
    _ask_for_the_signal()
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def tie_worker(variables: MutableMapping[str, str]) -> None:
    """Ties a worker to its torchrun, which is in the session of the job; one that nobody watches over is left alone."""
    session = variables.get(SESSION)
    if session is None:
        return
    _ask_for_the_signal()
    if not _is_in_session(os.getppid(), int(session)):
        os.kill(os.getpid(), signal.SIGKILL)


def _ask_for_the_signal() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _is_in_session(pid: int, session: int) -> bool:
    try:
        return os.getsid(pid) == session
    except (ProcessLookupError, PermissionError):
        return False
