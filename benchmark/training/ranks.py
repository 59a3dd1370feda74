"""A process among several that torchrun has started: torch.distributed, with gloo on the CPU and NCCL on GPUs.

What is said between processes outside of training steps (decisions, predictions, states) goes over gloo, as pickled
values; the gradients of a training step over whatever fits their device.  A process that waits for another longer than
:data:`PATIENCE` gives up.

Limits: each process normalises over its own share of a batch where a network has batch normalisation, so that such a
network learns a little differently than in one process; its running statistics are the first process's.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import random
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Self, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.nn.parallel import DistributedDataParallel

from benchmark.records import Failure
from benchmark.training.failures import SECONDARY, TeamError
from benchmark.training.share import Share

PATIENCE = datetime.timedelta(minutes=10)
FIRST_FAILURE = "benchmark/failure"
MEETING = "BENCHMARK_MEETING"
"""Names the file in which the processes of one host find each other; several hosts, and processes that somebody else's
torchrun has started, meet at ``MASTER_ADDR`` and ``MASTER_PORT``."""
LOSS = re.compile(r"gloo|NCCL|Connection (closed|reset)|Broken pipe|[Tt]imed out")
"""In the message of an error that has no type of its own."""
T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The team of a process; made by :meth:`join`, left with the block."""

    rank: int
    size: int
    local: int
    local_size: int
    store: Store

    @classmethod
    def join(cls, processes: int, variables: Mapping[str, str]) -> Ranks:
        """Meets the others where torchrun says.

        Raises:
            TeamError: there are not as many processes as the run wants.
        """
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")
        rank, size, local, local_size, port = (int(variables[name]) for name in names)
        if size != processes:
            raise TeamError(f"processes: the run wants {processes}, torchrun has started {size}")
        store = _file_store(variables[MEETING]) if MEETING in variables else _tcp_store(rank, port, variables)
        meeting = PrefixStore("benchmark/group", store)
        dist.init_process_group("gloo", store=meeting, rank=rank, world_size=size, timeout=PATIENCE)
        return cls(rank, size, local, local_size, store)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:  # else the end of the process is all that the others need to notice
            dist.destroy_process_group()

    def device(self, device: torch.device) -> torch.device:
        if device.type == "cpu":
            return device
        if device.type != "cuda":
            raise TeamError(f"processes: several do not share {device.type}; use device: cpu")
        if self.local_size > torch.cuda.device_count():
            found = f"{self.local_size} processes, {torch.cuda.device_count()} GPUs"
            raise TeamError(f"processes: each needs a GPU of its own; this host has {found}")
        torch.cuda.set_device(self.local)
        return torch.device("cuda", self.local)

    def network(self, model: nn.Module) -> nn.Module:
        device = next(model.parameters()).device
        group = dist.new_group(backend="nccl", timeout=PATIENCE) if device.type == "cuda" else None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*broadcast_buffers", FutureWarning)  # older torch has no other name
            return DistributedDataParallel(
                model, process_group=group, broadcast_buffers=False, find_unused_parameters=True
            )

    def apart(self, network: nn.Module, wanted: bool) -> AbstractContextManager[object]:
        if not wanted:
            return nullcontext()
        held: AbstractContextManager[object] = network.no_sync()  # type: ignore[operator]
        return held

    def diversify(self, seed: int) -> None:
        if self.rank:
            digest = hashlib.sha256(f"rank/{seed}/{self.rank}".encode()).digest()
            random.seed(digest)
            np.random.seed(int.from_bytes(digest[:4], "little"))
            torch.manual_seed(int.from_bytes(digest[:8], "little", signed=True))

    def align(self, model: nn.Module) -> None:
        found = self.first(lambda: {name: each.cpu() for name, each in model.named_buffers()})
        for name, each in model.named_buffers():
            each.copy_(found[name])

    def share(self, whole: int) -> Share:
        return Share.of(whole, self.rank, self.size)

    def average(self, values: Tensor) -> None:
        total = values.cpu()
        dist.all_reduce(total)
        values.copy_(total / self.size)

    def gather(self, mine: T) -> list[T]:
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, mine)
        return found

    def first(self, make: Callable[[], T]) -> T:
        told: list[Any] = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(told, src=0)
        value: T = told[0]
        return value

    def blame(self, failure: Failure, error: BaseException) -> Failure:
        """The first failure that is nobody else's fault is kept in the store that all processes share, also those on
        other hosts; a store that is gone tells nothing."""
        if _is_loss(error):
            failure = dataclasses.replace(failure, kind="killed", message=f"another process is gone: {failure.message}")
        try:
            if failure.kind not in SECONDARY:
                return _read(self.store.compare_set(FIRST_FAILURE, "", json.dumps(dataclasses.asdict(failure))))
            return _read(self.store.get(FIRST_FAILURE)) if self.store.check([FIRST_FAILURE]) else failure
        except (RuntimeError, ValueError):
            return failure


def _is_loss(error: BaseException) -> bool:
    """Whether torch has waited for another process in vain."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and bool(LOSS.search(str(error))))


def _read(document: bytes) -> Failure:
    return Failure(**json.loads(document))


def _file_store(path: str) -> Store:
    store = dist.FileStore(path)  # type: ignore[attr-defined]  # it is not in __all__
    store.set_timeout(PATIENCE)
    return cast(Store, store)


def _tcp_store(rank: int, port: int, variables: Mapping[str, str]) -> Store:
    hosting = rank == 0 and variables.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    store = dist.TCPStore(  # type: ignore[attr-defined]  # it is not in __all__
        variables["MASTER_ADDR"], port, is_master=hosting, timeout=PATIENCE
    )
    return cast(Store, store)
