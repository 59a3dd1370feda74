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
    from codecarbon.core.gpu_nvidia import NvidiaGPUDevice

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
    Nothing is raised: where a meter fails, or cannot be read once, there is no value any more.
    """

    def __init__(self, processors: IntelRAPL, gpu: NvidiaGPUDevice | None = None) -> None:
        self._processors, self._gpu = processors, gpu
        self._kwh = {"processors": 0.0, "gpu": 0.0}
        self._failed = False
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._busy, self._read = _busy_seconds(), time.monotonic()
        processors.start()
        if gpu is not None:
            gpu.start()
        threading.Thread(target=self._follow, name="energy", daemon=True).start()

    def kwh(self, cpu_seconds: float) -> float | None:
        """Kilowatt-hours so far of a run that has had so many seconds of processors; ``None``: a meter failed, or
        others were on its GPU, too."""
        with self._lock:
            self._take()
            busy = max(_busy_seconds() - self._busy, cpu_seconds)
            found = self._kwh["processors"] * (cpu_seconds / busy if busy else 0.0) + self._kwh["gpu"]
            return None if self._failed else found

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
        try:
            found = self._processors.get_cpu_details(passed)
            self._kwh["processors"] += sum(kwh for name, kwh in found.items() if "Energy" in name)
            self._failed |= not found or any(each.sample_skipped for each in self._processors._rapl_files)
            if self._gpu is not None:
                self._kwh["gpu"] += self._gpu.delta(passed)["delta_energy_consumption"].kWh
                self._failed |= len(self._gpu._get_compute_processes()) > 1  # type: ignore[no-untyped-call]
                self._failed |= self._gpu._get_total_energy_consumption() is None
        except Exception:  # drivers have errors of many kinds, and none is a reason to end a run
            self._failed = True


def find(device: torch.device) -> EnergyMeter | None:
    """The meter for a run on ``device``; ``None`` where CodeCarbon is not installed, or not all that the run uses tells
    its energy: half of it would look like a small sum."""
    packages = [each for each in POWERCAP.glob("intel-rapl*:*") if _text(each / "name").startswith("package")]
    if not packages or not all(_text(each / "energy_uj") for each in packages):
        return None
    if importlib.util.find_spec("codecarbon") is None:
        return None
    try:
        return _meter(device)
    except Exception:  # as above
        return None


def _meter(device: torch.device) -> EnergyMeter | None:
    from codecarbon.core.cpu import IntelRAPL

    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # its import sets it
    gpu = _gpu(device) if device.type == "cuda" else None
    if device.type != "cpu" and gpu is None:
        return None
    return EnergyMeter(IntelRAPL(str(POWERCAP)), gpu)  # type: ignore[no-untyped-call]


def _gpu(device: torch.device) -> NvidiaGPUDevice | None:
    """The GPU that ``device`` is, if its driver counts energy."""
    from codecarbon.core.gpu import AllGPUDevices
    from codecarbon.core.gpu_nvidia import NvidiaGPUDevice

    uuid = str(torch.cuda.get_device_properties(device).uuid)
    found = (each for each in AllGPUDevices().devices if isinstance(each, NvidiaGPUDevice))
    ours = (each for each in found if uuid in str(each.get_static_details()["uuid"]))
    return next((each for each in ours if each._get_total_energy_consumption() is not None), None)


def _text(path: Path) -> str:
    """Nothing where it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _busy_seconds() -> float:
    """Of all processors since the machine started; 0 where it does not say."""
    try:
        words = STAT.read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    ticks = (int(word) for place, word in enumerate(words[:GUESTS]) if place not in NOT_BUSY)
    return sum(ticks) / _TICKS
