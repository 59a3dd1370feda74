"""Energy that a run takes, where the machine's meters can be read: processors by RAPL, its GPU by NVIDIA's driver.

CodeCarbon reads the meters (extra `energy`; https://docs.codecarbon.io); what it would only estimate, from a table of
processors or for memory, is not taken.  Containers and virtual machines have no meters as a rule; nor has who may not
read ``energy_uj``, which many systems give to root alone.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from codecarbon.core.cpu import IntelRAPL
    from codecarbon.core.gpu_device import GPUDevice

POWERCAP = Path("/sys/class/powercap/intel-rapl/subsystem")
STAT = Path("/proc/stat")
READ_SECONDS = 30.0
"""A counter that is read so often does not run over twice unseen."""
NOT_BUSY = (3, 4)
"""Fields of ``/proc/stat``: idle, and waiting for a disk."""
GUESTS = 8
"""Fields from this one on are part of others."""
_TICKS = os.sysconf("SC_CLK_TCK")


class EnergyMeter:
    """The energy of this machine's processors and of one GPU, from its making on.

    Of the processors' energy a run has the share that it has of their busy time; runs that train side by side share it.
    """

    def __init__(self, processors: IntelRAPL, gpu: GPUDevice | None = None) -> None:
        self._processors, self._gpu = processors, gpu
        self._kwh = {"processors": 0.0, "gpu": 0.0}
        self._shared = False
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._busy, self._read = _busy_seconds(), time.monotonic()
        processors.start()
        if gpu is not None:
            gpu.start()
        threading.Thread(target=self._follow, name="energy", daemon=True).start()

    def kwh(self, cpu_seconds: float) -> float | None:
        """Kilowatt-hours so far of a run that has had so many seconds of processors; ``None``: others were on its GPU,
        too."""
        with self._lock:
            self._take()
            busy = max(_busy_seconds() - self._busy, cpu_seconds)
            found = self._kwh["processors"] * (cpu_seconds / busy if busy else 0.0) + self._kwh["gpu"]
            return None if self._shared else found

    def close(self) -> None:
        self._ended.set()

    def _follow(self) -> None:
        while not self._ended.wait(READ_SECONDS):
            with self._lock:
                self._take()

    def _take(self) -> None:
        from codecarbon.core.units import Time

        now = time.monotonic()
        passed, self._read = Time.from_seconds(now - self._read), now
        found = self._processors.get_cpu_details(passed)
        self._kwh["processors"] += sum(kwh for name, kwh in found.items() if "Energy" in name)
        if self._gpu is not None:
            self._shared |= len(self._gpu.get_gpu_details()["compute_processes"]) > 1
            self._kwh["gpu"] += self._gpu.delta(passed)["delta_energy_consumption"].kWh


def find(device: torch.device) -> EnergyMeter | None:
    """The meter for a run on ``device``; ``None`` where CodeCarbon is not installed, or not all that the run uses tells
    its energy: half of it would look like a small sum."""
    readable = any(_is_readable(each) for each in POWERCAP.glob("intel-rapl*:*/energy_uj"))
    if not readable or importlib.util.find_spec("codecarbon") is None:
        return None
    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    from codecarbon.core.cpu import IntelRAPL

    gpu = _gpu(device) if device.type == "cuda" else None
    return None if device.type != "cpu" and gpu is None else EnergyMeter(IntelRAPL(str(POWERCAP)), gpu)  # type: ignore[no-untyped-call]


def _gpu(device: torch.device) -> GPUDevice | None:
    """The GPU that ``device`` is, if its driver counts energy."""
    from codecarbon.core.gpu import AllGPUDevices

    uuid = str(torch.cuda.get_device_properties(device).uuid)
    found = [each for each in AllGPUDevices().devices if uuid in str(each.get_static_details()["uuid"])]
    counts = [each for each in found if each.get_gpu_details()["total_energy_consumption"] is not None]
    return counts[0] if counts else None


def _is_readable(path: Path) -> bool:
    try:
        return bool(path.read_text())
    except OSError:
        return False


def _busy_seconds() -> float:
    """Of all processors since the machine started; 0 where it does not say."""
    try:
        words = STAT.read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    ticks = (int(word) for place, word in enumerate(words[:GUESTS]) if place not in NOT_BUSY)
    return sum(ticks) / _TICKS
