"""TrivialAugment and RandAugment of whole batches against torchvision's of one image at a time: a batch of 64.

    python perf/policies.py

CPU milliseconds of one thread for all images of a batch, in turns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torchvision.transforms import v2

from benchmark.training.policies import rand, trivial
from perf.rounds import in_turns, timed
from perf.sides import Figure, finish, parser

POLICIES = {"TrivialAugment": (trivial, v2.TrivialAugmentWide()), "RandAugment": (rand, v2.RandAugment())}
SHAPES = ((28, 1), (64, 3), (224, 3))
BATCH = 64


def main() -> int:
    """Prints a line for each method and size."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=9)
    arguments = options.parse_args()
    torch.set_num_threads(1)
    figures = [measure(name, *shape, arguments.rounds) for name in POLICIES for shape in SHAPES]
    return finish("policies", figures, arguments.json)


def measure(name: str, size: int, channels: int, rounds: int) -> Figure:
    ours, theirs = POLICIES[name]
    images = torch.randint(256, (BATCH, size, size, channels), dtype=torch.uint8)
    planes, generator = images.permute(0, 3, 1, 2).contiguous(), torch.Generator().manual_seed(0)
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: ours(images, generator),
        "torchvision": lambda: [theirs(each) for each in planes],
    }
    found = in_turns({side: lambda each=each: 1000 * timed(each) for side, each in work.items()}, rounds)
    return Figure(f"{name}, {size}×{size}×{channels}", "CPU ms a batch", *found.values())


if __name__ == "__main__":
    sys.exit(main())
