"""The checkpoints of a run: where training goes on after its process has died, bit by bit as if it had not.

A file at the end of an epoch, ``epoch-00003.pt`` beside ``events.jsonl``, or within one, such as
``epoch-00003-000120.pt`` after 120 steps of the fourth, as often as it is worth its time
(:mod:`benchmark.training.pace`); the last two are kept.  An epoch is in ``events.jsonl`` before its checkpoint is
written, and a checkpoint whose epochs are not all there is not used.

Limits: to go on under another version of a library, or on another kind of device, would give a result that neither
gives alone.  Such a checkpoint is passed over, and training starts again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from benchmark.durable import atomic
from benchmark.failpoints import reach
from benchmark.rundir import BrokenFile, RunDir
from benchmark.training import checkpoint
from benchmark.training.checkpoint import Checkpoint, Saved
from benchmark.training.environment import versions
from benchmark.training.memory import REMEMBERED
from benchmark.training.pace import Pace, Wish
from benchmark.training.profiling import ResourceMeter
from benchmark.training.team import Team

KEPT = 2
TOGETHER = 50
"""Steps between the moments when processes that train together agree on a checkpoint."""
_NAME = re.compile(r"epoch-(\d+)(?:-(\d+))?\.pt")

Tell = Callable[[str], None]


class Keeper(Protocol):
    """What training asks of whoever keeps its checkpoints."""

    def newest(self) -> Checkpoint | None:
        """Where to go on; ``None``: at the beginning."""
        ...

    def save(self, now: Checkpoint) -> None: ...

    def due(self, last: bool) -> bool:
        """Whether to save at the end of an epoch, which may be the ``last``; the same for all that train together."""
        ...

    def wish(self, step: int, last: bool) -> Wish:
        """Whether to save after this step of an epoch, which may be its ``last``, and whether to stop then."""
        ...

    def patience(self) -> AbstractContextManager[None]:
        """Inside, whoever asks the job to stop is heard by :meth:`wish`."""
        ...


class NoCheckpoints:
    """Keeps nothing: training starts at its beginning."""

    def newest(self) -> Checkpoint | None:
        return None

    def save(self, now: Checkpoint) -> None:
        pass

    def due(self, last: bool) -> bool:
        return False

    def wish(self, step: int, last: bool) -> Wish:
        return "nothing"

    def patience(self) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass(frozen=True)
class Following:
    """For the processes of a team: all go on from what the first one finds, and the first one saves.

    Args:
        store: the first process's; ``None`` for the others.
        pace: when to save.
    """

    team: Team
    store: Checkpoints | None
    pace: Pace

    def newest(self) -> Checkpoint | None:
        return self.team.first(lambda: self.store.newest() if self.store else None)

    def save(self, now: Checkpoint) -> None:
        if store := self.store:
            self.pace.save(lambda: store.save(now))

    def due(self, last: bool) -> bool:
        """By the first process's clock, which knows what saving takes; and where anybody is asked to stop."""
        votes = self.team.gather((self.pace.due(last), self.pace.wish() == "stop"))
        return votes[0][0] or any(asked for _, asked in votes)

    def wish(self, step: int, last: bool) -> Wish:
        if self.team.size == 1:
            return self.pace.wish()
        if step % TOGETHER and not last:
            return "nothing"
        wishes = self.team.gather(self.pace.wish())
        return "stop" if "stop" in wishes else wishes[0]

    def patience(self) -> AbstractContextManager[None]:
        return self.pace.patience()


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run in ``directory``.

    Args:
        maker: run, versions and device of this attempt; another's checkpoints are passed over.
        epochs: so many are in ``events.jsonl`` already.
        meter: counts on from what earlier attempts have spent.
        tell: takes a line for the log.
    """

    directory: Path
    maker: Mapping[str, str]
    epochs: int
    meter: ResourceMeter
    tell: Tell

    @classmethod
    def of(cls, rundir: RunDir, run_id: str, device: torch.device, meter: ResourceMeter, tell: Tell) -> Checkpoints:
        """Those of the run in ``rundir``."""
        maker = {"run": run_id, "device": device.type, **versions()}
        return cls(rundir.checkpoint, maker, _whole_epochs(rundir, tell), meter, tell)

    def newest(self) -> Checkpoint | None:
        """The newest good checkpoint; each that is not good gets a line in the log."""
        for path in reversed(_paths(self.directory)):
            try:
                saved = self._read(path)
            except BrokenFile as error:
                self.tell(f"{error}; passed over")
                continue
            self.meter.carry(saved.spent)
            self.tell(f"going on {_words(saved.checkpoint)}")
            return saved.checkpoint
        return None

    def save(self, now: Checkpoint) -> None:
        """Writes a checkpoint; when it is safe on disk, removes all but it and the one before."""
        path = self.directory / _name(now)
        with atomic(path) as file:
            checkpoint.write(Saved(now, self.maker, self.meter.spent()), file)
            reach("job.checkpoint")
        reach("job.checkpointed")
        paths = _paths(self.directory)
        end = paths.index(path) + 1  # what follows is of an attempt that got further, and was passed over
        for each in (*paths[: max(0, end - KEPT)], *paths[end:]):
            each.unlink()

    def _read(self, path: Path) -> Saved:
        """A checkpoint that can be used.

        Raises:
            BrokenFile: it is not whole, not this run's, or ahead of ``events.jsonl``.
        """
        saved = checkpoint.read(path)
        for name, ours in self.maker.items():
            if saved.maker.get(name) != ours:
                raise BrokenFile(f"{path}: made with {name} {saved.maker.get(name)}, this is {ours}")
        if saved.checkpoint.epoch > self.epochs:
            raise BrokenFile(f"{path}: ahead of events.jsonl, which ends at epoch {self.epochs}")
        return saved


def clear(rundir: RunDir) -> None:
    """Removes every checkpoint, and what belongs to them: the run has its result."""
    for each in (*_paths(rundir.checkpoint), rundir.checkpoint / REMEMBERED):
        each.unlink(missing_ok=True)


def _name(checkpoint: Checkpoint) -> str:
    within = f"-{checkpoint.step:06}" if checkpoint.step else ""
    return f"epoch-{checkpoint.epoch:05}{within}.pt"


def _words(checkpoint: Checkpoint) -> str:
    within = f" and {checkpoint.step} steps" if checkpoint.step else ""
    return f"after epoch {checkpoint.epoch}{within}"


def _paths(directory: Path) -> list[Path]:
    """Oldest first."""
    found = ((_NAME.fullmatch(path.name), path) for path in directory.glob("epoch-*.pt"))
    return [path for _, _, path in sorted((int(match[1]), int(match[2] or 0), path) for match, path in found if match)]


def _whole_epochs(rundir: RunDir, tell: Tell) -> int:
    """How many epochs ``events.jsonl`` has.

    A file that is not a list of the epochs 1, 2, 3 ... would be an error at each epoch of each attempt: it is moved
    aside, and since the curve is lost with it, training starts again.
    """
    try:
        epochs = [event.epoch for event in rundir.read_events()]
        if epochs == list(range(1, len(epochs) + 1)):
            return len(epochs)
        problem = f"{rundir.events_path}: its epochs are {epochs}"
    except BrokenFile as error:
        problem = str(error)
    aside = rundir.events_path.with_name("events.jsonl.broken")
    tell(f"{problem}; moved to {aside.name}, training starts again")
    rundir.events_path.replace(aside)
    return 0
