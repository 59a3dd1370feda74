"""Speed of a model and cost of a run.

:func:`profile` is for a machine on which nothing else runs: a busy neighbour makes its numbers noise.  It takes about
5 s; a model whose single step takes seconds is still given three steps of each kind.  :class:`ResourceMeter` tells what
a run cost, and slows nothing.
"""

from __future__ import annotations

import copy
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.training import energy

KWH = "cost/kwh"
WARM_UP, MOST = 3, 200
"""Steps before a measurement, and the most that it times."""

Step = Callable[[], object]


def profile(
    model: nn.Module,
    *,
    image_size: int,
    channels: int,
    batch_size: int,
    device: torch.device | str,
    seconds: float = 4.0,
) -> dict[str, float | None]:
    """Speed of inference and training on random images, measured on a copy: ``model`` and the random state stay.

    Args:
        model: maps float32 (n, channels, image_size, image_size) to logits (n, classes); in training mode it may
            return (logits, auxiliary logits ...).
        batch_size: images per step of both throughputs.
        device: where to measure.
        seconds: how long to measure in all, half of it training; warming up adds a quarter.

    Returns:
        ``speed/images_per_second`` and ``speed/train_images_per_second`` (forward, backward and a step of SGD with
        momentum) at ``speed/batch_size``; ``speed/latency_ms_p50`` and ``…_p95`` at batch 1, of up to 200 forward
        passes (at least 30 where one takes less than ``seconds / 120``).  Training speed is ``None`` at batch 1,
        where batch normalisation cannot train.
    """
    device = torch.device(device)
    shape = (channels, image_size, image_size)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        network = copy.deepcopy(model).to(device)
        latencies = _durations(_inference(network, _images(1, shape, device)), seconds / 4, device)
        images = _images(batch_size, shape, device)
        return {
            "speed/batch_size": float(batch_size),
            "speed/latency_ms_p50": 1000 * float(np.percentile(latencies, 50)),
            "speed/latency_ms_p95": 1000 * float(np.percentile(latencies, 95)),
            "speed/images_per_second": _rate(_inference(network, images), seconds / 4, images),
            "speed/train_images_per_second": _training_rate(network, seconds / 2, images),
        }


class ResourceMeter:
    """What the process spends between entering and leaving the block.

    Use::

        with ResourceMeter(device) as meter:
            train()
        metrics |= meter.values
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._earlier: Mapping[str, float] = {"cost/seconds": 0.0, "cost/cpu_seconds": 0.0, KWH: 0.0}
        self.values: dict[str, float | None] = {}

    def __enter__(self) -> Self:
        self._load = os.getloadavg()[0]
        self._energy = energy.find(self._device)
        self._started, self._cpu = time.perf_counter(), _cpu_seconds()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        return self

    def __exit__(self, *_: object) -> None:
        """Fills ``values``: ``cost/seconds`` since entering, by the clock; ``cost/cpu_seconds`` of the process and its
        ended children, user and system, both with what was carried;
        ``cost/peak_memory_bytes``, the most resident memory of the process since its start; ``cost/load``, the load
        average over the minute before entering; on CUDA ``cost/peak_gpu_memory_bytes``, the most that tensors held;
        where it can be read (:mod:`benchmark.training.energy`) ``cost/kwh``."""
        self.values = {
            **self.spent(),
            "cost/peak_memory_bytes": float(peak_memory()),
            "cost/load": self._load,
        }
        if self._device.type == "cuda":
            self.values["cost/peak_gpu_memory_bytes"] = float(torch.cuda.max_memory_allocated(self._device))
        if self._energy:
            self._energy.close()

    def spent(self) -> dict[str, float]:
        """``cost/seconds``, ``cost/cpu_seconds`` and, where it is known of all attempts, ``cost/kwh`` so far, within
        the block."""
        cpu = _cpu_seconds() - self._cpu
        now = {"cost/seconds": time.perf_counter() - self._started, "cost/cpu_seconds": cpu}
        if self._energy and (kwh := self._energy.kwh(cpu)) is not None:
            now[KWH] = kwh
        return {name: value + self._earlier[name] for name, value in now.items() if name in self._earlier}

    def carry(self, spent: Mapping[str, float]) -> None:
        """Adds what an interrupted attempt had :meth:`spent`."""
        self._earlier = {name: self._earlier[name] + value for name, value in spent.items() if name in self._earlier}


def together(values: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """What a team cost, from each process's ``values``: processor time and memory are sums, the others the first's."""
    added = ("cost/cpu_seconds", "cost/peak_memory_bytes", "cost/peak_gpu_memory_bytes", KWH)
    found = {
        name: sum(each.get(name) or 0.0 for each in values) if name in added else value
        for name, value in values[0].items()
    }
    return found if all(KWH in each for each in values) else {name: found[name] for name in found if name != KWH}


def peak_memory() -> int:
    """The most resident memory of this process since its start, in bytes.

    On Linux from the kernel's status file, because ``ru_maxrss`` of a started program begins with its parent's peak.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _cpu_seconds() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


def _images(count: int, shape: tuple[int, int, int], device: torch.device) -> Tensor:
    images = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
    return images.to(device, memory_format=torch.channels_last)


def _inference(network: nn.Module, images: Tensor) -> Step:
    network.eval()

    def step() -> None:
        with torch.inference_mode():
            network(images)

    return step


def _training(network: nn.Module, images: Tensor) -> Step:
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    optimizer = torch.optim.SGD(network.train().parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        outputs = network(images)
        heads = (outputs,) if isinstance(outputs, Tensor) else outputs
        loss = torch.stack([F.cross_entropy(logits, labels) for logits in heads]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _training_rate(network: nn.Module, seconds: float, images: Tensor) -> float | None:
    return _rate(_training(network, images), seconds, images) if len(images) > 1 else None


def _rate(step: Step, seconds: float, images: Tensor) -> float:
    """Images per second.  The steps are timed together, since waiting for each would slow an accelerator down."""
    once = _warm_up(step, seconds / 4, images.device)
    steps = max(1, min(MOST, int(seconds / once)))
    spent = _timed(lambda: [step() for _ in range(steps)], images.device)
    return len(images) * steps / spent


def _durations(step: Step, seconds: float, device: torch.device) -> list[float]:
    """Seconds of each single step; stops when the time is spent, or after ``MOST`` steps."""
    _warm_up(step, seconds / 4, device)
    durations = [_timed(step, device)]
    while len(durations) < MOST and sum(durations) < seconds:
        durations.append(_timed(step, device))
    return durations


def _warm_up(step: Step, seconds: float, device: torch.device) -> float:
    """The shortest of two steps, or of three where time allows: the first one also loads and plans kernels."""
    durations = [_timed(step, device), _timed(step, device)]
    while len(durations) < WARM_UP and sum(durations) < seconds:
        durations.append(_timed(step, device))
    return min(durations)


def _timed(step: Step, device: torch.device) -> float:
    _synchronize(device)
    start = time.perf_counter()
    step()
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: torch.device) -> None:
    """Waits for the work that was only queued so far."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
