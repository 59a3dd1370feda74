"""Small variants of four families, for small images and small machines.

Each keeps its family's idea at a fraction of the cost and says in its name and in :data:`SMALL` that it is not the
stock network.  On small images the stock heads of AlexNet and VGG are the cost: their average pool repeats a 1x1 map
to 6x6 or 7x7 and two dense layers of 4,096 units follow; a global average pool takes their place here.

Sources: Krizhevsky 2014 (arXiv:1404.5997), Simonyan and Zisserman 2015 (arXiv:1409.1556), Huang et al. 2017
(arXiv:1608.06993), Dosovitskiy et al. 2021 (arXiv:2010.11929); the pooling head: Lin et al. 2014
(arXiv:1312.4400).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from torch import nn

from benchmark.training.timm_models import check_patches

_VGG11 = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")


def small_alexnet(image_size: int, channels: int, classes: int, *, dropout: float = 0.5) -> nn.Module:
    """AlexNet's five convolutions and one dense layer; made for about 64 pixels, takes 63 and more."""
    features = (
        nn.Conv2d(channels, 64, 11, stride=4, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
    )
    return _with_pooling_head(features, 256, classes, dropout)


def small_vgg11_bn(
    image_size: int, channels: int, classes: int, *, width: float = 0.5, dropout: float = 0.0
) -> nn.Module:
    """VGG-11's eight convolutions with batch norm, ``width`` times as wide.  Pools round up, so that 28 pixels have
    something left for the last one; at multiples of 32 this changes nothing."""
    features = tuple(_vgg_layers(channels, width))
    network = _with_pooling_head(features, int(512 * width), classes, dropout)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return network


def small_densenet(
    image_size: int,
    channels: int,
    classes: int,
    *,
    growth_rate: int = 16,
    block_config: Sequence[int] = (3, 6, 12, 8),
    drop_rate: float = 0.0,
) -> nn.Module:
    """timm's DenseNet with the same four dense blocks at half the growth rate and half the depth."""
    from timm.models.densenet import DenseNet

    network: nn.Module = DenseNet(
        growth_rate=growth_rate,
        block_config=tuple(block_config),
        num_classes=classes,
        in_chans=channels,
        drop_rate=drop_rate,
    )
    return network


def small_vit(
    image_size: int,
    channels: int,
    classes: int,
    *,
    patch_size: int = 8,
    embed_dim: int = 192,
    depth: int = 6,
    num_heads: int = 3,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> nn.Module:
    """timm's Vision Transformer of ViT-tiny's width with half its blocks.

    Raises:
        ValueError: the image does not consist of whole patches.
    """
    from timm.models.vision_transformer import VisionTransformer

    network: nn.Module = VisionTransformer(
        img_size=image_size,
        patch_size=patch_size,
        embed_dim=embed_dim,
        depth=depth,
        num_heads=num_heads,
        num_classes=classes,
        in_chans=channels,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
    )
    check_patches(network, image_size)
    return network


SMALL: dict[str, tuple[Callable[..., nn.Module], str]] = {
    "small/alexnet": (small_alexnet, "AlexNet features with a global-average-pool head (small variant)"),
    "small/vgg11_bn": (
        small_vgg11_bn,
        "VGG-11 with batch norm, {width} times as wide, with a global-average-pool head (small variant)",
    ),
    "small/densenet": (
        small_densenet,
        "DenseNet of growth rate {growth_rate} with dense blocks of {block_config} layers (small variant)",
    ),
    "small/vit": (
        small_vit,
        "Vision Transformer of width {embed_dim} with {depth} blocks on patches of {patch_size} pixels (small variant)",
    ),
}
"""Name -> constructor and what it makes in words, where ``{…}`` stands for an argument."""


def _with_pooling_head(features: Sequence[nn.Module], width: int, classes: int, dropout: float) -> nn.Module:
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(width, classes))
    return nn.Sequential(OrderedDict(features=nn.Sequential(*features), head=nn.Sequential(*head)))


def _vgg_layers(channels: int, width: float) -> Iterator[nn.Module]:
    for layer in _VGG11:
        if isinstance(layer, str):
            yield nn.MaxPool2d(2, 2, ceil_mode=True)
            continue
        outputs = int(layer * width)
        yield from (nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
        channels = outputs
