"""Images per second on a GPU: our loop, timm's training step, one fixed batch; small runs together and one by one.

    python perf/gpu.py --json gpu.json
    python perf/gpu.py --device cpu --steps 2 --warmup 1 --size 32 --batch 4 --packed 2 --seconds 1

resnet50 at 224 px (compiled), resnet18 at 32 px and a net of airbench's size, in bf16 and channels last, each side with
the same network, batch and kind of optimizer.  *ours* takes images from the host's memory, with deterministic
algorithms, as a job does.  *timm* is the step of its `train.py` (autocast, `create_optimizer_v2`, its loss, cuDNN's
benchmark) behind its `PrefetchLoader`, which gets batches that are decoded and collated already.  *fixed* is one
batch on the device, the limit.  CUDA events around `--steps` steps after `--warmup`, in turns; the first
step, which compiles, is told apart.  Small runs train at the same time in processes of their own, and one alone.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from torch import nn

from benchmark.data import datasets
from benchmark.run import DataSpec, Run
from benchmark.training.data import PreparedData, Split
from benchmark.training.outset import choose_device, make_model, set_up
from perf.airbench import Airbench
from perf.gpu_sides import SIDES, Steps
from perf.packing import images_per_second
from perf.sides import Figure, Side, finish, parser

CASES = {"resnet50": (224, 256, 1000), "resnet18": (32, 1024, 10), "airbench": (32, 1024, 10)}
"""Pixels, images a batch, classes."""
COMPILED = ("resnet50",)
BATCHES = 50
"""Of images in memory, gone through again and again."""


def main() -> int:
    """Prints lines for each case and one for packing; a machine without a GPU measures nothing, unless told to."""
    options = parser(__doc__)
    options.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    options.add_argument("--models", nargs="+", default=list(CASES), choices=list(CASES))
    options.add_argument("--size", type=int, help="pixels, for every model")
    options.add_argument("--batch", type=int, help="images a batch, for every model")
    options.add_argument("--warmup", type=int, default=50)
    options.add_argument("--steps", type=int, default=200)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--packed", type=int, default=8, help="small runs at the same time; 0: none")
    options.add_argument("--seconds", type=float, default=10.0, help="of one measurement of packing")
    arguments = options.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("not measured: this machine has no GPU")
        return 0
    figures = [each for model in arguments.models for each in measure(model, arguments)]
    if arguments.packed:
        figures.append(pack(arguments.packed, arguments.device, arguments.seconds))
    return finish("gpu", figures, arguments.json)


def measure(model: str, arguments: argparse.Namespace) -> list[Figure]:
    """Images per second of ours and each other side, and the seconds of their first steps."""
    device = choose_device(arguments.device)
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
    first: dict[str, list[float]] = {}
    for name, steps in sides.items():
        choose(name)
        first[name] = [timed(steps, 1, device)]
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(arguments.rounds):
        for name, steps in sides.items():
            choose(name)
            timed(steps, arguments.warmup, device)
            found[name].append(arguments.steps * batch / timed(steps, arguments.steps, device))
    what = f"{model}, {size} px, batch {batch}, {named(device)}"
    return [*compared(what, "images a second", found, "higher"), *compared(f"{what}: first step", "s", first, "lower")]


def compared(what: str, unit: str, found: dict[str, list[float]], better: Literal["lower", "higher"]) -> list[Figure]:
    """The first side against each other."""
    ours, *others = (Side(name, tuple(values)) for name, values in found.items())
    return [Figure(what, unit, ours, each, better=better) for each in others]


def named(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


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


def pack(workers: int, device: str, seconds: float) -> Figure:
    """Images per second of small runs in processes of their own, at the same time and one after the other."""
    spec = DataSpec("synthetic", train_size=2000, test_size=100)
    with tempfile.TemporaryDirectory() as scratch:
        directory = datasets.prepare(spec, image_size=28, channels=1, resize="crop", cache=Path(scratch))
        run = Run(spec, "lenet5", image_size=28, channels=1, device=device)  # type: ignore[arg-type]
        alone, together = (images_per_second(run, directory, count, 1, seconds) for count in (1, workers))
    sides = Side(f"{workers} together", (together,)), Side("one by one", (alone,))
    return Figure("lenet5", "images a second", *sides, better="higher")


if __name__ == "__main__":
    sys.exit(main())
