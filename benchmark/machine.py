"""What this machine has to give: cores, memory that new processes can have, and how often that was too little.

On Linux that is what the kernel thinks it can free, and no more than what the control groups (versions 1 and 2, as
containers and job schedulers set them) still allow.  Files in the page cache count as free: the kernel drops them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
LIMITS = ("memory.max", "memory.high", "memory.limit_in_bytes")
USAGES = ("memory.current", "memory.usage_in_bytes")
CACHES = ("active_file", "inactive_file", "total_active_file", "total_inactive_file")


def usable_cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Bytes that new processes can have; where the system does not tell, half of what is built in.

    Args:
        proc, cgroups: where the kernel's files are.
    """
    rooms = [*_meminfo(proc, "MemAvailable:"), *(room for group in _groups(proc, cgroups) for room in _allowed(group))]
    return max(0, min(rooms)) if rooms else _unknown()


def total_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Bytes of memory that this process's machine or container has; where the system does not tell, what is built in.

    Args:
        proc, cgroups: where the kernel's files are.
    """
    limits = (_number(group / name) for group in _groups(proc, cgroups) for name in LIMITS)
    rooms = [*_meminfo(proc, "MemTotal:"), *(limit for each in limits for limit in each)]
    return min(rooms) if rooms else 2 * _unknown()


def out_of_memory_kills(proc: Path = PROC) -> int:
    """How many processes the kernel has killed for want of memory since it started; 0 where it does not tell."""
    for line in _lines(proc / "vmstat"):
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def _meminfo(proc: Path, wanted: str) -> Iterator[int]:
    """Bytes of one of the kernel's counts; nothing where it does not tell."""
    for line in _lines(proc / "meminfo"):
        name, value, *_ = [*line.split(), "", ""]
        if name == wanted and value.isdigit():
            yield int(value) * 1024


def _groups(proc: Path, cgroups: Path) -> Iterator[Path]:
    """The directories of the process's control groups for memory, and of those around them: each has a limit.  In a
    container the own group is often mounted as the root, under which the path that the process sees does not exist."""
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        root = cgroups / "memory" if controllers else cgroups
        own = root / path.lstrip("/")
        yield from (each for each in (own, *own.parents) if each.is_relative_to(root))


def _allowed(group: Path) -> Iterator[int]:
    """What each limit of a group leaves; nothing where it has none."""
    usage = next((value for name in USAGES for value in _number(group / name)), 0)
    for name in LIMITS:
        for limit in _number(group / name):
            yield limit - usage + _reclaimable(group)


def _reclaimable(group: Path) -> int:
    """Bytes of files in memory.  Version 1 has two counts, the second with the groups within; that is the usage's."""
    pairs = (line.split() for line in _lines(group / "memory.stat"))
    found = {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] in CACHES}
    return max(
        sum(value for name, value in found.items() if name.startswith("total_") is total) for total in (False, True)
    )


def _number(path: Path) -> Iterator[int]:
    """The number in a file; none in one that is missing or says ``max``."""
    yield from (int(line) for line in _lines(path)[:1] if line.isdigit())


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _unknown() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
