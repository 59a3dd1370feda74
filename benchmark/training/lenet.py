"""LeNet-5 for images of any size and number of channels.

Source: LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition, 1998, section II.B.
As is usual today, it departs from the paper in four points: plain tanh, pooling without trainable coefficients, all
connections in the second convolution, and a linear output with cross-entropy.  The first convolution pads by 2, so
that 28 pixels (Fashion-MNIST) give the paper's map sizes and, with 10 classes, exactly 61,706 parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

T = TypeVar("T")
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
POOLINGS = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}
MINIMUM_SIZE = 12


class LeNet5(nn.Module):
    """Two convolutions with pooling and three dense layers; (n, channels, size, size) float -> (n, classes) logits.

    Raises:
        ValueError: an unknown activation or pooling, or an image below 12 pixels.
    """

    def __init__(
        self, image_size: int, channels: int, classes: int, activation: str = "tanh", pooling: str = "avg"
    ) -> None:
        super().__init__()
        if image_size < MINIMUM_SIZE:
            raise ValueError(f"lenet5 needs images of at least {MINIMUM_SIZE} pixels, not {image_size}")
        act, pool = _choose("activation", activation, ACTIVATIONS), _choose("pooling", pooling, POOLINGS)
        side = (image_size // 2 - 4) // 2
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=2), act(), pool(2), nn.Conv2d(6, 16, 5), act(), pool(2)
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * side * side, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


def _choose(key: str, value: object, choices: Mapping[str, T]) -> T:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{key} is {' or '.join(choices)}, not {value!r}")
    return choices[value]
