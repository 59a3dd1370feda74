"""TrivialAugment and RandAugment of whole batches against torchvision's of one image at a time: CPU milliseconds for a
batch of 64, medians of interleaved rounds.

    python perf/policies.py
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torchvision.transforms import v2

from benchmark.training.policies import rand, trivial

ROUNDS, BATCH = 9, 64


def main() -> int:
    """Prints a line for each method and size."""
    torch.set_num_threads(1)
    for name, ours, theirs in (("trivial", trivial, v2.TrivialAugmentWide()), ("rand", rand, v2.RandAugment())):
        for size, channels in ((28, 1), (64, 3), (224, 3)):
            images = torch.randint(256, (BATCH, size, size, channels), dtype=torch.uint8)
            planes = images.permute(0, 3, 1, 2).contiguous()
            generator = torch.Generator().manual_seed(0)
            sides: dict[str, Callable[[], object]] = {
                "ours": lambda images=images, ours=ours, generator=generator: ours(images, generator),
                "torchvision": lambda planes=planes, theirs=theirs: [theirs(each) for each in planes],
            }  # fmt: skip
            taken: dict[str, list[float]] = {side: [] for side in sides}
            for _ in range(ROUNDS):
                for side, work in sides.items():
                    started = time.process_time()
                    work()
                    taken[side].append(time.process_time() - started)
            ours_ms, theirs_ms = (1000 * statistics.median(taken[side]) for side in sides)
            shape = f"{size}x{size}x{channels}"
            print(
                f"{name:8}{shape:>10}: {ours_ms:6.1f} ms, torchvision {theirs_ms:6.1f} ms: {theirs_ms / ours_ms:.1f}x"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
