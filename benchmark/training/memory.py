"""``on_oom: halve_batch``: a run that does not fit in memory is trained again with smaller parts of each batch.

The optimizer still sees the whole batch (``accumulate``); only batch normalisation sees parts.  How many parts it took
is kept beside the checkpoints, so that an attempt after an interruption does not have to find out again, and is told
in the result's notes.

Limits: memory that runs out after the first epoch, in evaluation, or in several processes, is a failure as without it;
so is a process that the kernel kills.
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from benchmark.durable import atomic
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.training.failures import is_out_of_memory

REMEMBERED = "parts"
T = TypeVar("T")


@dataclass(frozen=True)
class Parts:
    """In how many parts a run's batches are computed, as is remembered beside the run's checkpoints."""

    run: Run
    rundir: RunDir

    @property
    def fitting(self) -> Run:
        """The run with as many parts as it was found to need; its identity is another, and so are its checkpoints."""
        return dataclasses.replace(self.run, accumulate=self._count())

    @property
    def note(self) -> tuple[str, ...]:
        """For the result: what was changed, if anything."""
        parts = self._count()
        if parts == self.run.accumulate:
            return ()
        return (f"out of memory: each batch of {self.run.batch_size} was computed in {parts} parts (on_oom)",)

    def may_halve(self) -> bool:
        """Whether the run wants it, has told of no epoch yet, and has parts that can be halved."""
        wanted = self.run.on_oom == "halve_batch" and self.run.processes == 1
        return wanted and 4 * self._count() <= self.run.batch_size and not self.rundir.read_events()

    def halve(self) -> int:
        """Doubles the parts, and remembers how many there are."""
        parts = 2 * self._count()
        self.rundir.checkpoint.mkdir(parents=True, exist_ok=True)
        with atomic(self.rundir.checkpoint / REMEMBERED) as file:
            file.write(str(parts).encode())
        return parts

    def _count(self) -> int:
        try:
            return max(self.run.accumulate, int((self.rundir.checkpoint / REMEMBERED).read_text()))
        except (FileNotFoundError, ValueError):
            return self.run.accumulate


def with_room(parts: Parts, work: Callable[[], T], tell: Callable[[str], None]) -> T:
    """Does the work, again and again with smaller parts where the run wants that.

    Raises:
        MemoryError, RuntimeError: it does not fit, and nothing can be halved.
    """
    while True:
        try:
            return work()
        except (MemoryError, RuntimeError) as error:
            if not (is_out_of_memory(error) and parts.may_halve()):
                raise
        tell(f"out of memory; trying again with each batch of {parts.run.batch_size} in {parts.halve()} parts")
        gc.collect()  # what the failed attempt held: its error is gone by now
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
