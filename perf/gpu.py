"""Images per second on a GPU: our loop, timm's training step, one fixed batch; small runs together and one by one.

    python perf/gpu.py --json gpu.json
    python perf/gpu.py --device cpu --steps 2 --warmup 1 --size 32 --batch 4 --packed 2 --seconds 1

resnet50 at 224 px (compiled), resnet18 at 32 px and a net of airbench's size, in bf16 and channels last, each side with
the same network, batch and kind of optimizer.  *ours* takes images from the host's memory, with deterministic
algorithms, as a job does.  *timm* is the step of its ``train.py`` (autocast, ``create_optimizer_v2``, its loss, cuDNN's
benchmark) behind its ``PrefetchLoader``, which gets batches that are decoded and collated already.  *fixed* is one
batch on the device, the limit.  CUDA events around ``--steps`` steps after ``--warmup``, in turns, medians of the
rounds; the first step, which compiles, is told apart.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from torch import nn

from benchmark.data import datasets
from benchmark.run import DataSpec, Run
from benchmark.training.data import PreparedData, Split
from benchmark.training.environment import environment
from benchmark.training.outset import choose_device, make_model, set_up
from perf.airbench import Airbench
from perf.gpu_sides import SIDES, Steps
from perf.packing import images_per_second

CASES = {"resnet50": (224, 256, 1000), "resnet18": (32, 1024, 10), "airbench": (32, 1024, 10)}
"""Pixels, images a batch, classes."""
COMPILED = ("resnet50",)
BATCHES = 50
"""Of images in memory, gone through again and again."""


def main() -> int:
    """Prints a line for each case and one for packing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--models", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--size", type=int, help="pixels, for every model")
    parser.add_argument("--batch", type=int, help="images a batch, for every model")
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--packed", type=int, default=8, help="small runs at the same time; 0: none")
    parser.add_argument("--seconds", type=float, default=10.0, help="of one measurement of packing")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    device, rows = choose_device(arguments.device), []
    for model in arguments.models:
        rows.append(row := measure(model, device, arguments))
        print(line(row), flush=True)
    packed = pack(arguments.packed, arguments.device, arguments.seconds) if arguments.packed else {}
    print(f"lenet5, images per second: {packed}")
    if arguments.json:
        figures = {"rows": rows, "packed": packed, "environment": environment(device)}
        arguments.json.write_text(json.dumps(figures, indent=1))
    return 0


def line(row: dict[str, Any]) -> str:
    """For a reader."""
    rates = ", ".join(f"{name} {each:.0f}" for name, each in row["rates"].items())
    return (
        f"{row['model']} at {row['size']} px, batch {row['batch']}, images per second: {rates}; ours is "
        f"{row['of fixed']:.3f} of fixed, {row['of timm']:.3f} of timm; seconds of the first step {row['first']}"
    )


def measure(model: str, device: torch.device, arguments: argparse.Namespace) -> dict[str, Any]:
    """Images per second of each side, and the seconds of its first step."""
    size, batch, classes = CASES[model]
    size, batch = arguments.size or size, arguments.batch or batch
    compiles = device.type == "cuda" and model in COMPILED
    run = Run(
        DataSpec("synthetic"), "resnet18" if model == "airbench" else model, image_size=size, channels=3,
        batch_size=batch, epochs=10**6, optimizer="momentum", lr=0.01, label_smoothing=0.1, schedule="constant",
        precision="bf16", compile="always" if compiles else "never", device=arguments.device,
    )  # fmt: skip
    set_up(run)
    data = generated(size, min(BATCHES, arguments.warmup + arguments.steps) * batch, classes)
    sides = {name: make(run, data, network(model, run, data, device), device) for name, make in SIDES.items()}
    first = {}
    for name, steps in sides.items():
        choose(name)
        first[name] = round(timed(steps, 1, device), 3)
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(arguments.rounds):
        for name, steps in sides.items():
            choose(name)
            timed(steps, arguments.warmup, device)
            found[name].append(arguments.steps * batch / timed(steps, arguments.steps, device))
    rates = {name: statistics.median(each) for name, each in found.items()}
    against = {f"of {name}": rates["ours"] / rates[name] for name in ("fixed", "timm")}
    return {"model": model, "size": size, "batch": batch, "rates": rates, "first": first, **against}


def choose(side: str) -> None:
    """A job wants the same bits again, the other sides speed alone."""
    torch.use_deterministic_algorithms(side == "ours" and torch.cuda.is_available(), warn_only=True)
    torch.backends.cudnn.benchmark = side != "ours"


def timed(steps: Steps, count: int, device: torch.device) -> float:
    """Seconds of so many steps, by the device's clock."""
    if device.type != "cuda":
        started = time.perf_counter()
        _do(steps, count)
        return time.perf_counter() - started
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    _do(steps, count)
    after.record()
    torch.cuda.synchronize(device)
    return before.elapsed_time(after) / 1000


def _do(steps: Steps, count: int) -> None:
    for _ in itertools.islice(steps, count):
        pass


def generated(size: int, images: int, classes: int) -> PreparedData:
    """Noise, in memory."""
    pixels = torch.randint(256, (images, size, size, 3), dtype=torch.uint8)
    split = Split(pixels, torch.arange(images) % classes, np.arange(images).astype(str))
    half = torch.full((3,), 0.5)
    return PreparedData(split, split, split, tuple(map(str, range(classes))), half, half, "")


def network(model: str, run: Run, data: PreparedData, device: torch.device) -> nn.Module:
    if model != "airbench":
        return make_model(run, data, device)
    torch.manual_seed(run.seed)
    return Airbench(3, len(data.classes)).to(device, memory_format=torch.channels_last)


def pack(workers: int, device: str, seconds: float) -> dict[str, float]:
    """Of small runs in processes of their own, at the same time and one after the other."""
    spec = DataSpec("synthetic", train_size=2000, test_size=100)
    with tempfile.TemporaryDirectory() as scratch:
        directory = datasets.prepare(spec, image_size=28, channels=1, resize="crop", cache=Path(scratch))
        run = Run(spec, "lenet5", image_size=28, channels=1, device=device)  # type: ignore[arg-type]
        alone, together = (images_per_second(run, directory, count, 1, seconds) for count in (1, workers))
    return {"one by one": alone, f"{workers} together": together, "ratio": together / alone}


if __name__ == "__main__":
    sys.exit(main())
