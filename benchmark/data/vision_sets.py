"""torchvision's classification sets: which class gives which split, as a literal table, without importing torchvision.

A set without labelled test images (ImageNet, Imagenette, Places365) is tested with its own validation split, as is
usual for it, and gets a validation split from its training images.  One without splits has both made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class VisionSet:
    """``parts``: ours of ``train``, ``val`` and ``test`` -> arguments of the constructor of ``kind``."""

    kind: str
    parts: Mapping[str, Arguments] = field(default_factory=lambda: {"train": {}})

    def having(self, **arguments: Any) -> VisionSet:
        """The same with further arguments."""
        return VisionSet(self.kind, {part: {**given, **arguments} for part, given in self.parts.items()})


def _flagged(kind: str) -> VisionSet:
    return VisionSet(kind, {"train": {"train": True}, "test": {"train": False}})


def _split(kind: str, train: str = "train", val: str | None = None, test: str = "test") -> VisionSet:
    named = {"train": train, "val": val, "test": test}
    return VisionSet(kind, {part: {"split": name} for part, name in named.items() if name})


_EMNIST, _IMAGENETTE, _AIRCRAFT = (
    _flagged("EMNIST"),
    _split("Imagenette", test="val"),
    _split("FGVCAircraft", val="val"),
)

DATASETS: Mapping[str, VisionSet] = {
    **{name: _flagged(name) for name in ("MNIST", "FashionMNIST", "KMNIST", "QMNIST", "USPS", "CIFAR10", "CIFAR100")},
    "EMNIST": _EMNIST.having(split="balanced"),
    **{f"EMNIST-{each}": _EMNIST.having(split=each) for each in ("byclass", "bymerge", "letters", "digits", "mnist")},
    **{name: _split(name) for name in ("SVHN", "STL10", "Food101", "GTSRB", "StanfordCars")},
    "OxfordIIITPet": _split("OxfordIIITPet", train="trainval"),
    **{name: _split(name, val="val") for name in ("Flowers102", "DTD", "PCAM", "RenderedSST2")},
    "Country211": _split("Country211", val="valid"),
    "FGVCAircraft": _AIRCRAFT,
    **{f"FGVCAircraft-{each}": _AIRCRAFT.having(annotation_level=each) for each in ("family", "manufacturer")},
    "Imagenette": _IMAGENETTE,
    **{f"Imagenette-{each}": _IMAGENETTE.having(size=each) for each in ("320px", "160px")},
    "ImageNet": _split("ImageNet", test="val"),
    "Places365": _split("Places365", train="train-standard", test="val").having(small=True),
    **{name: VisionSet(name) for name in ("EuroSAT", "SEMEION", "SUN397", "Caltech101", "Caltech256")},
}
"""EMNIST is its balanced split of 47 classes; FGVCAircraft has 100 variants; Places365 is taken at 256 x 256."""
