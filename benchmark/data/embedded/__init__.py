"""The data set that is shipped: fashion-mini (see fashion-mini.md beside this file)."""

from __future__ import annotations

from pathlib import Path

FASHION_MINI = Path(__file__).with_name("fashion-mini.npz")

FASHION_MINI_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""The names that Fashion-MNIST's authors give to labels 0 to 9."""
