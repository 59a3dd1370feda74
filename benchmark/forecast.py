"""How long and how much memory a run will take, corrected by what finished runs took.

A forecast is the run's :class:`~benchmark.effort.Effort` times a factor: by how much the nearest finished runs differed
from theirs.  Nearest are other seeds of the same configuration, then the same model on images of the same size, the
same model, its family, any run.  So every run has an estimate once one has finished, all in the same unit, and a
configuration that has finished is expected to take what it took.  Time takes the median of the factors, memory the
largest.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

from benchmark.effort import BASE, Effort
from benchmark.families import family
from benchmark.records import Result
from benchmark.run import Run, canonical_json

LEAST_BASE = BASE // 2
"""A worker of a warm fork server has some 440 MiB resident, shared with its siblings but for 30."""

MARGINS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""For each group of like runs, from the nearest to all: how much further off a run may be than they were."""
Factors = defaultdict[Hashable, list[float]]


class Forecast:
    """What to expect of the runs in ``efforts`` (by run id), which grows better with each result.

    Args:
        finished: earlier runs and their results.
        unsure: by what the efforts' seconds may be off, at the least and at the most; ``None``: they are not those of
            this machine, so that nothing is known in seconds before a run has finished.
    """

    def __init__(
        self,
        efforts: Mapping[str, Effort],
        finished: Iterable[tuple[Run, Result]] = (),
        unsure: tuple[float, float] | None = None,
    ) -> None:
        self._efforts = efforts
        self._unsure = unsure
        self._slowness: Factors = defaultdict(list)
        self._largeness: Factors = defaultdict(list)
        self._on_gpu: Factors = defaultdict(list)
        self._base: int | None = None
        for run, result in finished:
            self.learn(run, result)

    def learn(self, run: Run, result: Result) -> None:
        """Takes note of what a run took; a run that is not in ``efforts`` teaches nothing."""
        if effort := self._efforts.get(run.run_id):
            for group in _alike_in_time(run):
                insort(self._slowness[group], spent(result) / effort.seconds)
            if peak := result.metrics.get("cost/peak_memory_bytes"):
                self._learn_memory(run, effort, int(peak))
            if tensors := result.metrics.get("cost/peak_gpu_memory_bytes"):
                for group in _alike_in_memory(run):
                    insort(self._on_gpu[group], tensors / run.processes / effort.on_gpu(run.processes))

    def seconds(self, run: Run) -> float | None:
        """Expected wall seconds of the whole job; ``None`` where nothing is known of this machine."""
        return self.weight(run) if self._slowness or self._unsure else None

    def range(self, run: Run) -> tuple[float, float] | None:
        """At the least and at the most, roughly: as far as like runs, or earlier forecasts, were apart."""
        if (middle := self.seconds(run)) is None:
            return None
        groups = _alike_in_time(run)
        for margin, group in zip(MARGINS, groups, strict=True):
            if known := self._slowness.get(group):
                seconds = self._efforts[run.run_id].seconds
                return known[0] * seconds * (1 - margin), known[-1] * seconds * (1 + margin)
        low, high = self._unsure or (1.0, 1.0)
        return middle * low, middle * high

    def weight(self, run: Run) -> float:
        """How long ``run`` takes compared with others: ``seconds`` where there are, those of a common core elsewhere.
        Always finite and above 0, and of the same unit for all runs."""
        known = next((found for group in _alike_in_time(run) if (found := self._slowness.get(group))), [1.0])
        return self._efforts[run.run_id].seconds * _median(known)

    def memory(self, run: Run) -> int:
        """Bytes that the job's process will hold at most, the decoded images left out."""
        effort = self._efforts[run.run_id]
        known = next((found for group in _alike_in_memory(run) if (found := self._largeness.get(group))), None)
        if known is not None:
            return round((BASE + effort.memory) * known[-1])
        return effort.memory + (BASE if self._base is None else self._base)

    def gpu_memory(self, run: Run) -> int:
        """Bytes of tensors that the run will hold at most on each of its GPUs, the images among them."""
        expected = self._efforts[run.run_id].on_gpu(run.processes)
        known = next((found for group in _alike_in_memory(run) if (found := self._on_gpu.get(group))), [1.0])
        return round(expected * known[-1])

    def disk(self, run: Run) -> int:
        """Bytes that the run's directory will need at most, its checkpoints included."""
        return self._efforts[run.run_id].disk

    def disk_kept(self, run: Run) -> int:
        """Bytes of them that stay when the run has its result."""
        return self._efforts[run.run_id].disk_kept

    def _learn_memory(self, run: Run, effort: Effort, peak: int) -> None:
        """Images that were mapped when the peak was measured are not the process's own."""
        own = max(peak - effort.images, effort.memory)
        for group in _alike_in_memory(run):
            insort(self._largeness[group], own / (BASE + effort.memory))
        self._base = min(BASE, max(LEAST_BASE, own - effort.memory, self._base or 0))


def spent(result: Result) -> float:
    """Wall seconds of a run.  ``started`` is when its last attempt began; ``cost/seconds`` counts what a resumed run
    spent before, but not the writing of its files."""
    return max(result.finished - result.started, result.metrics.get("cost/seconds") or 0.0, 1e-3)


def _alike_in_time(run: Run) -> tuple[Hashable, ...]:
    """From the nearest runs to all."""
    where = (run.threads, run.processes, run.device, run.instance_type)
    model = (run.model, canonical_json(dict(run.model_args)), *where)
    return (run.configuration_id, (*model, run.image_size), model, family(run.model), "")


def _alike_in_memory(run: Run) -> tuple[Hashable, ...]:
    model = (run.model, canonical_json(dict(run.model_args)), run.processes, run.device)
    return (run.configuration_id, (*model, run.image_size, run.batch_size))


def _median(values: Sequence[float]) -> float:
    """Of sorted values."""
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
