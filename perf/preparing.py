"""JPEG files into the cache of decoded images, against one epoch of torchvision's ImageFolder and bare decoding.

    python perf/preparing.py                     10,000 files of 256 px
    python perf/preparing.py --images 1000 --rounds 1

Ours looks at each file (digest, form, splits) and decodes it into the cache, with as many threads as there are cores.
ImageFolder's `DataLoader` has as many workers, and gives tensors: what every epoch of a naive script does again.  Bare
decoding is Pillow in as many processes that keep nothing.  A second experiment finds the files as they were.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import ToTensor

from benchmark import collector
from benchmark.data import datasets
from benchmark.data.synthetic import images
from benchmark.run import DataSpec
from perf.sides import Figure, Side, finish

CLASSES = 10
LEAST = 0.95
"""Of the speed of bare decoding."""
AGAIN = 0.2
"""Seconds that a second experiment on the same files may wait for them."""


def main() -> int:
    """Prints a line for each comparison; 1 where a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--guard", type=float, metavar="RATIO", help="only a smaller ratio than this is a failure")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        _photos(home / "photos", arguments.images, arguments.size)
        sides = {
            "ours": lambda: _ours(home, arguments.size),
            "ImageFolder, an epoch": lambda: _folder(home / "photos"),
            "bare decoding": lambda: _bare(home / "photos"),
        }
        found: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(arguments.rounds):
            for name in sides if number % 2 == 0 else reversed(sides):
                found[name].append(arguments.images / _seconds(sides[name]))
        _ours(home, arguments.size, keep=True)
        again = Side("ours", tuple(_seconds(lambda: _again(home, arguments.size)) for _ in range(2 * arguments.rounds)))
    ours, folder, bare = (Side(name, tuple(values)) for name, values in found.items())
    what = f"{arguments.images:,} JPEG files of {arguments.size} px"
    figures = [
        Figure(what, "images a second", ours, folder, better="higher"),
        Figure(what, "images a second", ours, bare, least=LEAST, better="higher"),
        Figure("a second experiment on the same files", "seconds", again, most=AGAIN),
    ]
    return finish("preparing", figures, arguments.json, arguments.guard)


def _photos(place: Path, count: int, size: int) -> None:
    labels = np.arange(count) % CLASSES
    for start in range(0, count, 500):
        part = labels[start : start + 500]
        for number, pixels in enumerate(images(part, CLASSES, size, 3, seed=start)):
            path = place / f"class {part[number]}" / f"{start + number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, quality=90)


def _ours(home: Path, size: int, *, keep: bool = False) -> None:
    cache, spec = home / "cache", DataSpec("folder", path=str(home / "photos"))
    datasets.prepare(spec, image_size=size, channels=3, resize="crop", cache=cache)
    if not keep:
        shutil.rmtree(cache)


def _again(home: Path, size: int) -> None:
    """What `run` does: it plans, and asks for the images of the digest that it has planned with."""
    cache, spec = home / "cache", DataSpec("folder", path=str(home / "photos"))
    with collector.paused():  # as it is while the command plans
        digest = datasets.inspect(spec, cache).digest
    datasets.prepare(spec, image_size=size, channels=3, resize="crop", cache=cache, digest=digest)


def _folder(place: Path) -> None:
    loader = DataLoader(ImageFolder(str(place), ToTensor()), batch_size=64, num_workers=_cores())
    for _ in loader:
        pass


def _bare(place: Path) -> None:
    paths = sorted(place.rglob("*.jpg"))
    with multiprocessing.get_context("fork").Pool(_cores()) as pool:
        for _ in pool.imap_unordered(_decode, paths, chunksize=50):
            pass


def _decode(path: Path) -> None:
    with Image.open(path) as image:
        np.asarray(image.convert("RGB"))


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
