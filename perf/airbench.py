"""A network of the size of cifar10-airbench's, which trains CIFAR-10 to 94% in seconds on one GPU.

Source: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (arXiv:2404.00498), section 2: a convolution of 2×2
pixels, three groups of two convolutions each with batch normalisation and GELU, a linear head.  What makes it learn
fast (the whitened, frozen first layer, the initialisation, its optimizer) is not here: this is for speed.
"""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS = (64, 256, 256)
FIRST = 24


class Airbench(nn.Module):
    """Maps images (n, channels, size, size), size at least 32, to logits (n, classes)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        ins = (FIRST, *WIDTHS)
        groups = [_group(before, after) for before, after in zip(ins, WIDTHS, strict=False)]
        self.body = nn.Sequential(nn.Conv2d(channels, FIRST, 2), nn.GELU(), *groups, nn.AdaptiveMaxPool2d(1))
        self.head = nn.Linear(WIDTHS[-1], classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images).flatten(1))
        return logits


def _group(before: int, after: int) -> nn.Sequential:
    first = (nn.Conv2d(before, after, 3, padding="same", bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(after), nn.GELU())
    second = (nn.Conv2d(after, after, 3, padding="same", bias=False), nn.BatchNorm2d(after), nn.GELU())
    return nn.Sequential(*first, *second)
