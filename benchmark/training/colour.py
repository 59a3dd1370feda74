"""Operations on the colours of images, as strong for each image as it has drawn.

Each takes uint8 images (n, channels, height, width), strengths (n,) and the same with a random sign, float32, and gives
what torchvision's function of the same name gives for each image.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv2d

Operation = Callable[[Tensor, Tensor, Tensor], Tensor]


def brightness(images: Tensor, strengths: Tensor, signed: Tensor) -> Tensor:
    return _blend(images.float(), torch.zeros((), device=images.device), signed)


def saturation(images: Tensor, strengths: Tensor, signed: Tensor) -> Tensor:
    return images if images.shape[1] == 1 else _blend(images.float(), _grey(images), signed)


def contrast(images: Tensor, strengths: Tensor, signed: Tensor) -> Tensor:
    return _blend(images.float(), _grey(images).mean(dim=(1, 2, 3), keepdim=True), signed)


def sharpness(images: Tensor, strengths: Tensor, signed: Tensor) -> Tensor:
    """Blends with a smoothed copy, but for the border of one pixel."""
    channels, height, width = images.shape[1:]
    if min(height, width) <= 2:
        return images
    kernel = torch.full((3, 3), 1 / 13, device=images.device)
    kernel[1, 1] = 5 / 13
    sharp = images.float()
    smooth = conv2d(sharp, kernel.expand(channels, 1, 3, 3), groups=channels).round_()
    inner = sharp[..., 1:-1, 1:-1]
    inner.add_((smooth - inner) * _column(-signed))
    return sharp.clamp_(0, 255).to(torch.uint8)


def posterize(images: Tensor, strengths: Tensor, signed: Tensor) -> Tensor:
    """``strengths`` bits are kept."""
    kept = _column(strengths).to(torch.int64)
    mask = ((1 << kept) - 1) << (8 - kept)
    return images & mask.to(torch.uint8)


def solarize(images: Tensor, strengths: Tensor, signed: Tensor) -> Tensor:
    """Inverts what is at least as bright as ``strengths``, where white is 1."""
    least = (_column(strengths) * 255).ceil().to(torch.uint8)
    return torch.where(images >= least, 255 - images, images)


def autocontrast(images: Tensor, strengths: Tensor, signed: Tensor) -> Tensor:
    from torchvision.transforms.v2 import functional

    changed: Tensor = functional.autocontrast(images)
    return changed


def equalize(images: Tensor, strengths: Tensor, signed: Tensor) -> Tensor:
    from torchvision.transforms.v2 import functional

    changed: Tensor = functional.equalize(images)
    return changed


OPERATIONS: dict[str, Operation] = {
    "Brightness": brightness,
    "Color": saturation,
    "Contrast": contrast,
    "Sharpness": sharpness,
    "Posterize": posterize,
    "Solarize": solarize,
    "AutoContrast": autocontrast,
    "Equalize": equalize,
}


def _column(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _blend(images: Tensor, others: Tensor, signed: Tensor) -> Tensor:
    """``1 + signed`` parts of the images, ``-signed`` of the others."""
    return (images * _column(1 + signed) - others * _column(signed)).clamp_(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """float32 (n, 1, height, width), whole numbers."""
    if images.shape[1] == 1:
        return images.float()
    red, green, blue = images.float().unbind(1)
    return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_()[:, None]
