"""timm's classifiers by name, without weights, for any number of classes, channels and, where they can, image size."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from torch import nn


@functools.cache
def names() -> tuple[str, ...]:
    """Every architecture that timm has, without tags of weights and without deprecated names."""
    import timm

    return tuple(timm.list_models())


def with_weights() -> frozenset[str]:
    """The architectures for which timm has pretrained weights."""
    import timm

    return frozenset(name.partition(".")[0] for name in timm.list_pretrained())


def tags(name: str) -> tuple[str, ...]:
    """The tags of the weights that timm has for an architecture, its default first."""
    import timm

    found = timm.list_pretrained(f"{name}.*")
    known = get_cfg(name)
    default = f"{name}.{known.tag}" if known is not None and known.tag else ""
    return tuple(each.partition(".")[2] for each in sorted(found, key=lambda each: (each != default, each)))


def get_cfg(name: str) -> Any:
    """timm's ``PretrainedCfg`` of a name with or without a tag: where weights are, and how they want their images;
    ``None`` where it has none."""
    from timm.models import get_pretrained_cfg

    return get_pretrained_cfg(name)


def make(name: str, model_args: Mapping[str, Any], image_size: int, channels: int, classes: int) -> nn.Module:
    """A network with random weights; one whose weights depend on the image's size is made for ``image_size``.

    Raises:
        ValueError: the image does not consist of whole patches, of which the network would ignore the rest.
        TypeError: an argument that the network does not have.
    """
    import timm

    known = get_cfg(name)
    sized: dict[str, Any] = {"img_size": image_size} if known is not None and known.fixed_input_size else {}
    network: nn.Module = timm.create_model(
        name, pretrained=False, num_classes=classes, in_chans=channels, **sized, **model_args
    )
    check_patches(network, image_size)
    return network


def check_patches(network: nn.Module, image_size: int) -> None:
    """Refuses an image that a Vision Transformer cannot cut into whole patches.

    Raises:
        ValueError: with a patch size that fits.
    """
    patch = patch_size(network)
    if image_size % patch == 0:
        return
    fitting = max(each for each in range(1, max(2, image_size // 4) + 1) if image_size % each == 0)
    remedy = f"; set model_args: {{patch_size: {fitting}}} or another image_size" if fitting > 1 else ""
    raise ValueError(f"an image of {image_size} pixels does not consist of whole patches of {patch}{remedy}")


def patch_size(network: nn.Module) -> int:
    """Side of the patches that the network cuts images into and that must fill them, else 1."""
    from timm.layers.patch_embed import PatchEmbed

    embedding = getattr(network, "patch_embed", None)
    if isinstance(embedding, PatchEmbed) and not embedding.dynamic_img_pad:
        return int(max(embedding.patch_size))
    size = getattr(network, "patch_size", 1)
    return size if isinstance(size, int) and size > 0 else 1
