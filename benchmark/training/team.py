"""The processes that train one run together, as each of them sees it; one that trains by itself is :class:`Alone`.

Every process has the whole data, the same network and the same random order, and does its share of each batch.  What
one of them decides, all decide, because they decide on the same numbers.  The first process, rank 0, alone writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from benchmark.records import Failure
from benchmark.run import Run
from benchmark.training.share import Share

T = TypeVar("T")


class Team(Protocol):
    """What training asks of the processes that it runs in.  All of them call the same methods in the same order."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def device(self, device: torch.device) -> torch.device:
        """Which of the devices of this kind is this process's.

        Raises:
            TeamError: there is none for it.
        """
        ...

    def network(self, model: nn.Module) -> nn.Module:
        """What a training step calls in place of ``model``: after ``backward``, the gradients in ``model`` are the mean
        over the processes."""
        ...

    def apart(self, network: nn.Module, wanted: bool) -> AbstractContextManager[object]:
        """Inside, where it is ``wanted``, gradients stay this process's own; they are added to the others' with the
        next that do not."""
        ...

    def diversify(self, seed: int) -> None:
        """Gives each process its own random numbers, for dropout; the first keeps those that it has."""
        ...

    def align(self, model: nn.Module) -> None:
        """Gives every process the first one's buffers: the running statistics of batch normalisation."""
        ...

    def share(self, whole: int) -> Share:
        """This process's part of so many images."""
        ...

    def average(self, values: Tensor) -> None:
        """Writes the mean over the processes into ``values``."""
        ...

    def gather(self, mine: T) -> list[T]:
        """What each process has, in the order of their ranks, for every process."""
        ...

    def first(self, make: Callable[[], T]) -> T:
        """What the first process makes, for every process; the others make nothing."""
        ...

    def blame(self, failure: Failure, error: BaseException) -> Failure:
        """Tells the others of a failure, which was ``error``; where another process's failure has caused it, the
        other's."""
        ...


class Alone:
    """One process that trains by itself."""

    rank, size = 0, 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def device(self, device: torch.device) -> torch.device:
        return device

    def network(self, model: nn.Module) -> nn.Module:
        return model

    def apart(self, network: nn.Module, wanted: bool) -> AbstractContextManager[object]:
        return nullcontext()

    def diversify(self, seed: int) -> None:
        pass

    def align(self, model: nn.Module) -> None:
        pass

    def share(self, whole: int) -> Share:
        return Share(whole, slice(0, whole), slice(0, whole))

    def average(self, values: Tensor) -> None:
        pass

    def gather(self, mine: T) -> list[T]:
        return [mine]

    def first(self, make: Callable[[], T]) -> T:
        return make()

    def blame(self, failure: Failure, error: BaseException) -> Failure:
        return failure


def is_member(run: Run, variables: Mapping[str, str]) -> bool:
    """Whether this process was started by torchrun, as one of those that train ``run``."""
    return run.processes > 1 and {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= set(variables)


def team_of(run: Run, variables: Mapping[str, str]) -> Team:
    """The team of this process; torch's machinery for several is imported where there are several.

    Raises:
        TeamError: there are not as many processes as the run wants.
    """
    if not is_member(run, variables):
        return Alone()
    from benchmark.training.ranks import Ranks

    return Ranks.join(run.processes, variables)
