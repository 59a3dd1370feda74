"""Which GPUs of this machine a worker may use: several workers on one, as long as it has memory and time to spare.

NVIDIA's driver tells what each GPU holds and how busy it is, through its program ``nvidia-smi``.  A worker sees the
GPUs that it was given and no other (``CUDA_VISIBLE_DEVICES``).  Where the program is not there, where somebody has
chosen parts of GPUs (MIG), or where torch was built without CUDA, nothing is lent, and workers use what they find.

Limits: a GPU counts as busy while any kernel runs, however small, so that networks that hardly fill it are packed less
densely than they could be; ``workers_per_gpu: N`` says more.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Literal

VISIBLE = "CUDA_VISIBLE_DEVICES"
QUERY = (
    "nvidia-smi",
    "--query-gpu=index,uuid,memory.total,memory.used,utilization.gpu",
    "--format=csv,noheader,nounits",
)
FIRST_SECONDS, LOOK_SECONDS = 20.0, 2.0
"""The first look is waited for, so long at the most; later ones are made in the background, so often."""
MEMORY_SHARE = 0.9
"""Of a GPU's memory, for workers; the rest is for errors of the forecast."""
BUSY = 0.8
"""A GPU that is busy for a larger share of the time gets no further worker."""
SETTLE_SECONDS = 15.0
"""After a worker has come or gone it takes so long until the load says what the rest amounts to."""
CONTEXT, SLACK = 600 * 2**20, 1.2
"""Bytes that a process takes on a GPU beside its tensors (CUDA's context, its libraries' kernels and work space), and
what torch's allocator keeps for itself, as a factor of theirs."""


@dataclass(frozen=True)
class Seen:
    """A GPU as its driver tells: bytes, and the share of time in which it was busy (``None``: not told)."""

    index: str
    uuid: str
    total: int
    used: int
    busy: float | None


@dataclass
class Gpu:
    """A GPU, with what its workers are expected to need, and its load since the last of them came or went."""

    seen: Seen
    wants: list[int] = field(default_factory=list)
    loads: list[float | None] = field(default_factory=list)
    changed: float = -math.inf

    @property
    def left(self) -> float:
        """Bytes for further workers: those that others take, or will take, are gone."""
        return MEMORY_SHARE * self.seen.total - max(self.seen.used, sum(self.wants))

    def look(self, seen: Seen, now: float) -> None:
        self.seen = seen
        if now - self.changed >= SETTLE_SECONDS:
            self.loads.append(seen.busy)

    def change(self, now: float) -> None:
        self.loads, self.changed = [], now

    def has_time(self) -> bool:
        """Whether it was measured since the last change, and found idle often enough."""
        known = [each for each in self.loads if each is not None]
        return bool(known) and math.fsum(known) / len(known) <= BUSY


class Gpus:
    """The GPUs that this process may use, lent to workers.

    Args:
        most: workers on one GPU; ``auto``: as many as fit, one after the other, by what is measured.
        query: the program that tells of GPUs.
        clock: seconds.
    """

    def __init__(
        self,
        most: int | Literal["auto"] = "auto",
        query: Sequence[str] = QUERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._query, self._clock = most, query, clock
        self._asked: subprocess.Popen[str] | None = None
        self._looked = clock()
        self._gpus = {each.uuid: Gpu(each) for each in visible(first_look(query), os.environ)}

    def __len__(self) -> int:
        return len(self._gpus)

    def fit(self, count: int, memory: int) -> bool:
        """Whether ``count`` GPUs have room for a worker that holds so many bytes on each."""
        if not self._gpus:
            return True
        self._look()
        return len([each for each in self._gpus.values() if self._fits(each, memory)]) >= count

    def take(self, count: int, memory: int) -> tuple[str, ...]:
        """``count`` GPUs, those with room and of these with the fewest workers first; none where there are not as
        many at all."""
        if count > len(self._gpus):
            return ()
        ranked = sorted(
            self._gpus.values(), key=lambda each: (not self._fits(each, memory), len(each.wants), -each.left)
        )
        taken = tuple(each.seen.uuid for each in ranked[:count])
        self.add(taken, memory)
        return taken

    def add(self, uuids: Iterable[str], memory: int) -> None:
        """A worker is there, or is about to come."""
        for gpu in self._known(uuids):
            gpu.wants.append(memory)
            gpu.change(self._clock())

    def give(self, uuids: Iterable[str], memory: int) -> None:
        """A worker has ended."""
        for gpu in self._known(uuids):
            gpu.wants.remove(memory)
            gpu.change(self._clock())

    def close(self) -> None:
        """Waits for nothing."""
        if self._asked is not None:
            self._asked.kill()
            self._asked.communicate()
            self._asked = None

    def _known(self, uuids: Iterable[str]) -> list[Gpu]:
        return [self._gpus[each] for each in uuids if each in self._gpus]

    def _fits(self, gpu: Gpu, memory: int) -> bool:
        if self._most != "auto":
            return len(gpu.wants) < self._most
        return not gpu.wants or (memory <= gpu.left and gpu.has_time())

    def _look(self) -> None:
        """Takes what the program has told, and asks again; never waits."""
        now = self._clock()
        if self._asked is not None and self._asked.poll() is not None:
            text, _ = self._asked.communicate()
            self._asked = None
            for seen in parse(text):
                if gpu := self._gpus.get(seen.uuid):
                    gpu.look(seen, now)
        if self._most == "auto" and self._asked is None and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._asked = _started(self._query)


def on_gpu(tensors: int) -> int:
    """Bytes that a process takes on a GPU when its tensors take so many."""
    return round(CONTEXT + SLACK * tensors)


def first_look(query: Sequence[str] = QUERY) -> list[Seen]:
    """The GPUs of this machine; none where torch has no use for them, or nothing tells of them within
    :data:`FIRST_SECONDS`."""
    if version("torch").endswith("+cpu"):
        return []
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return parse(subprocess.run(query, capture_output=True, text=True, check=True, timeout=FIRST_SECONDS).stdout)
    return []


def visible(found: Sequence[Seen], environment: Mapping[str, str]) -> list[Seen]:
    """Those that ``CUDA_VISIBLE_DEVICES`` leaves, in its order: numbers, or UUIDs or their beginnings.  None at all
    where it names what is not found, such as a part of a GPU."""
    chosen = environment.get(VISIBLE)
    if chosen is None:
        return list(found)
    names = [each.strip() for each in chosen.split(",") if each.strip()]
    those = [[gpu for gpu in found if name == gpu.index or gpu.uuid.startswith(name)] for name in names]
    return [each[0] for each in those] if all(len(each) == 1 for each in those) else []


def parse(text: str) -> list[Seen]:
    """What :data:`QUERY` prints; lines that say something else are left out."""
    found = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            index, uuid, total, used, busy = (each.strip() for each in line.split(","))
            found.append(Seen(index, uuid, int(total) * 2**20, int(used) * 2**20, _share(busy)))
    return found


def _share(percent: str) -> float | None:
    return None if percent.startswith("[") else float(percent) / 100


def _started(query: Sequence[str]) -> subprocess.Popen[str] | None:
    with contextlib.suppress(OSError):
        return subprocess.Popen(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return None
