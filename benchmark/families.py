"""Which family of architectures a model's name belongs to."""

from __future__ import annotations

import re

_FAMILIES = (
    # Hybrids with a ResNet stem are transformers, and Inception-ResNet is an Inception: the first match counts.
    ("Vision Transformer", r"(test_|flexi|naflex|sam)?vit(_|$)|deit"),
    ("LeNet", r"lenet"),
    ("AlexNet", r"alexnet$"),
    ("VGG", r"vgg\d"),
    ("Inception/GoogLeNet", r"googlenet|inception_(v\d|resnet)"),
    ("DenseNet", r"densenet"),
    ("EfficientNet", r"(test_|tf_|gc_)?efficientnet"),
    ("MobileNet", r"(test_|tf_)?mobilenet"),
    ("ResNet", r"(test_|legacy_|wide_|nf_|eca_|lambda_)?[a-z]{0,4}res(net|next)"),
)
_PATTERNS = tuple((family, re.compile(pattern)) for family, pattern in _FAMILIES)


def family(model: str) -> str:
    """``LeNet``, ``AlexNet``, ``VGG``, ``ResNet``, ``Inception/GoogLeNet``, ``DenseNet``, ``EfficientNet``,
    ``MobileNet``, ``Vision Transformer`` or ``other``, by a model's name with or without ``timm/``, ``torchvision/`` or
    ``small/``."""
    name = model.rpartition("/")[2]
    return next((each for each, pattern in _PATTERNS if pattern.match(name)), "other")
