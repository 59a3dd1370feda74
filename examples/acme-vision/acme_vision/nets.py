"""ConvMixer: patches, then depthwise and pointwise convolutions (Trockman and Kolter 2022, arXiv:2201.09792)."""

from __future__ import annotations

from torch import Tensor, nn


class ConvMixer(nn.Module):
    """Float images (n, channels, image_size, image_size) to logits (n, classes).

    Args:
        width: channels of every layer.
        depth: mixing blocks.
        patch: side of a patch in pixels; must not be larger than the image.
        kernel: side of the depthwise kernels.
    """

    def __init__(
        self, image_size: int, channels: int, classes: int, /, *, width: int = 64, depth: int = 4, patch: int = 4,
        kernel: int = 5,
    ) -> None:  # fmt: skip
        if patch > image_size:
            raise ValueError(f"patch {patch} is larger than the images, which have {image_size} pixels")
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, width, patch, patch), nn.GELU(), nn.BatchNorm2d(width))
        self.blocks = nn.Sequential(*(Block(width, kernel) for _ in range(depth)))
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(self.stem(images)).mean((2, 3)))
        return logits


class Block(nn.Module):
    """Mixes places, around which it adds, then channels."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.places = nn.Sequential(
            nn.Conv2d(width, width, kernel, padding="same", groups=width), nn.GELU(), nn.BatchNorm2d(width)
        )
        self.channels = nn.Sequential(nn.Conv2d(width, width, 1), nn.GELU(), nn.BatchNorm2d(width))

    def forward(self, values: Tensor) -> Tensor:
        mixed: Tensor = self.channels(values + self.places(values))
        return mixed
