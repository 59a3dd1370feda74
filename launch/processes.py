"""Process groups as the kernel sees them: signals, life, processor time, ends."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

PROC = Path("/proc")


def signal_group(pid: int, signum: signal.Signals) -> None:
    """Signals the group that process ``pid`` leads, if there is one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signum)


def is_dead(pid: int) -> bool:
    """Whether a process is gone, or only waits to be reaped."""
    try:
        os.kill(pid, 0)
        return _fields(PROC / str(pid) / "stat")[0] in ("Z", "X")
    except (ProcessLookupError, FileNotFoundError):
        return not PROC.exists() or not (PROC / str(pid)).exists()
    except PermissionError:
        return False


def cpu_seconds(pid: int) -> float | None:
    """Processor seconds of the group that ``pid`` leads and of what it started, in whatever group that is; reaped
    children are included.  ``None`` where nothing tells."""
    if not PROC.exists():
        return None
    parents, seconds, counted = {}, {}, set()
    for path in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields, number = _fields(path), int(path.parent.name)
            parents[number], seconds[number] = int(fields[1]), _cpu_seconds(fields)
            if int(fields[2]) == pid:
                counted.add(number)
    return sum(seconds[number] for number in seconds if counted.intersection(_line(number, parents)))


def cpu_seconds_of(pid: int) -> float:
    """Processor seconds of one process, its reaped children included; 0 where it is gone."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return _cpu_seconds(_fields(PROC / str(pid) / "stat"))
    return 0.0


def child_of(pid: int) -> int | None:
    """A child of a process, if it has any."""
    for path in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int(_fields(path)[1]) == pid:
                return int(path.parent.name)
    return None


def reap_group(pid: int) -> int | None:
    """The exit code of a child that leads a group (negative: the signal), ``None`` while it runs.

    What the child leaves behind in its group is killed while its number cannot yet belong to somebody else.
    """
    try:
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return -signal.SIGKILL  # reaped by somebody else: nobody knows how it ended
    if found is None:
        return None
    signal_group(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def threads() -> int:
    """How many threads this process has, as the kernel counts them."""
    tasks = PROC / "self" / "task"
    return len(list(tasks.iterdir())) if tasks.exists() else 1


def _cpu_seconds(fields: list[str]) -> float:
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _line(pid: int, parents: Mapping[int, int]) -> Iterator[int]:
    """A process, its parent, its parent's parent ..."""
    while pid in parents:
        yield pid
        pid = parents[pid]


def _fields(stat: Path) -> list[str]:
    """The fields after the name, which may itself have spaces and brackets: state, parent, group ..."""
    return stat.read_text().rpartition(")")[2].split()
