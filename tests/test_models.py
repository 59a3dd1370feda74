"""Networks by name: nine families, grey and RGB, trained one step; names, arguments, sizes and their errors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark.training.lenet import LeNet5
from benchmark.training.macs import count_macs
from benchmark.training.models import AUX_WEIGHT, ModelError, architecture, build, known_names, listed_names, resolve

LIGHT = [
    ("lenet5", 28, {}),
    ("lenet5", 32, {"activation": "relu", "pooling": "max"}),
    ("small/alexnet", 64, {}),
    ("small/vgg11_bn", 28, {}),
    ("resnet18", 28, {}),
    ("resnet50", 32, {}),
    ("googlenet", 28, {}),
    ("inception_v3", 75, {}),
    ("small/densenet", 32, {}),
    ("densenet121", 32, {}),
    ("efficientnet_b0", 32, {}),
    ("efficientnet_lite0", 28, {}),
    ("mobilenetv2_100", 32, {}),
    ("mobilenetv3_small_100", 28, {}),
    ("small/vit", 28, {"patch_size": 7}),
    ("vit_tiny_patch16_224", 32, {"patch_size": 8, "depth": 3}),
]
HEAVY = [
    ("alexnet", 64, {}),
    ("torchvision/alexnet", 63, {"dropout": 0.0}),
    ("vgg11_bn", 32, {}),
    ("vgg13", 32, {}),
    ("torchvision/inception_v3", 299, {}),
    ("vit_tiny_patch16_224", 32, {"patch_size": 4}),
]
PUBLISHED = [
    "alexnet",
    "vgg11_bn",
    "googlenet",
    "densenet121",
    "resnet18",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "vit_b_16",
]
WITH_AUX = [("googlenet", 32, 3), ("torchvision/inception_v3", 299, 2), ("timm/inception_v3", 299, 2)]


def check_step(model: str, size: int, args: Mapping[str, Any], channels: int, classes: int) -> None:
    torch.manual_seed(0)
    network = build(model, args, size, channels, classes)
    images, labels = torch.randn(2, channels, size, size), torch.tensor([0, classes - 1])
    outputs = network.train()(images)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert all(each.shape == (2, classes) for each in outputs)
    weights = [1.0, *(AUX_WEIGHT for _ in outputs[1:])]
    loss = sum(weight * F.cross_entropy(each, labels) for weight, each in zip(weights, outputs, strict=True))
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    without = [name for name, each in network.named_parameters() if each.grad is None or not each.grad.isfinite().all()]
    assert not without
    logits = network.eval()(images)
    assert logits.shape == (2, classes)
    assert logits.isfinite().all()


@pytest.mark.parametrize(("channels", "classes"), list(itertools.product((1, 3), (2, 10))))
@pytest.mark.parametrize(("model", "size", "args"), LIGHT)
def test_a_model_trains_one_step(model: str, size: int, args: dict[str, Any], channels: int, classes: int) -> None:
    check_step(model, size, args, channels, classes)


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "classes"), list(itertools.product((1, 3), (2, 10))))
@pytest.mark.parametrize(("model", "size", "args"), HEAVY)
def test_a_large_model_trains_one_step(
    model: str, size: int, args: dict[str, Any], channels: int, classes: int
) -> None:
    check_step(model, size, args, channels, classes)


def meta(model: str, args: Mapping[str, Any], size: int, channels: int = 3, classes: int = 10) -> nn.Module:
    with torch.device("meta"):
        return build(model, args, size, channels, classes)


def parameters(network: nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


@pytest.mark.parametrize("args", [{}, {"activation": "relu", "pooling": "max"}])
def test_lenet5_on_28_grey_pixels_has_the_papers_map_sizes(args: dict[str, Any]) -> None:
    network = meta("lenet5", args, 28, 1)
    assert parameters(network) == 61_706
    first, second = 28 * 28 * 6 * 25, 10 * 10 * 16 * 6 * 25
    assert count_macs(network, 28, 1) == first + second + 400 * 120 + 120 * 84 + 84 * 10


def test_lenet5_has_the_activation_and_the_pooling_that_are_asked_for() -> None:
    def kinds(**args: str) -> set[type[nn.Module]]:
        return {type(each) for each in LeNet5(28, 1, 10, **args).modules()}

    assert {nn.Tanh, nn.AvgPool2d} <= kinds()
    assert {nn.ReLU, nn.MaxPool2d} <= kinds(activation="relu", pooling="max")
    assert not {nn.Tanh, nn.AvgPool2d} & kinds(activation="relu", pooling="max")


@pytest.mark.parametrize("size", [12, 13, 29, 65])
def test_lenet5_takes_images_of_any_size_from_12(size: int) -> None:
    assert build("lenet5", {}, size, 3, 4)(torch.zeros(1, 3, size, size)).shape == (1, 4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_multiply_adds_are_those_that_torchvision_publishes(name: str) -> None:
    from torchvision.models import get_model_weights

    published = next(iter(get_model_weights(name))).meta
    network = meta(f"torchvision/{name}", {"aux_logits": False} if name == "googlenet" else {}, 224, 3, 1000)
    assert parameters(network) == published["num_params"]
    assert round(count_macs(network, 224, 3) / 1e9, 3) == published["_ops"]


@pytest.mark.parametrize("name", ["small/vit", "resnet18", "torchvision/vit_b_32"])
def test_multiply_adds_of_a_real_network_equal_those_of_one_without_values(name: str) -> None:
    network = build(name, {}, 32, 3, 10).train()
    first = next(network.parameters()).detach().clone()
    assert count_macs(network, 32, 3) == count_macs(meta(name, {}, 32), 32, 3) > 0
    assert network.training
    assert next(network.parameters()).equal(first)


def test_counting_leaves_frozen_parts_in_their_mode() -> None:
    network = build("lenet5", {}, 28, 1, 10).train()
    frozen = next(network.children()).eval()
    count_macs(network, 28, 1)
    assert network.training
    assert not frozen.training


@pytest.mark.parametrize("name", ["lenet5", "small/vgg11_bn", "googlenet", "resnet18", "small/vit"])
def test_equal_seeds_give_equal_weights(name: str) -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return build(name, {}, 32, 1, 10).state_dict()

    first, again, other = weights(7), weights(7), weights(8)
    assert all(first[key].equal(again[key]) for key in first)
    assert any(not first[key].equal(other[key]) for key in first)


@pytest.mark.parametrize("name", ["googlenet", "torchvision/mobilenet_v2"])
def test_a_grey_network_of_torchvision_does_what_its_rgb_twin_does_to_a_grey_image(name: str) -> None:
    torch.manual_seed(3)
    grey = build(name, {}, 32, 1, 10).eval()
    torch.manual_seed(3)
    rgb = build(name, {}, 32, 3, 10).eval()
    image = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(grey(image), rgb(image.expand(2, 3, 32, 32)))


@pytest.mark.parametrize(("name", "size", "count"), WITH_AUX)
def test_auxiliary_heads_speak_while_training_only(name: str, size: int, count: int) -> None:
    network = meta(name, {"aux_logits": True}, size)
    images = torch.empty(2, 3, size, size, device="meta")
    outputs = network.train()(images)
    assert type(outputs) is tuple
    assert [tuple(each.shape) for each in outputs] == [(2, 10)] * count
    assert network.eval()(images).shape == (2, 10)


@pytest.mark.parametrize(("name", "size", "count"), WITH_AUX)
def test_auxiliary_heads_can_be_left_out(name: str, size: int, count: int) -> None:
    network = meta(name, {"aux_logits": False}, size)
    assert network.train()(torch.empty(2, 3, size, size, device="meta")).shape == (2, 10)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("vgg16", ("torchvision", "vgg16")),
        ("alexnet", ("torchvision", "alexnet")),
        ("googlenet", ("torchvision", "googlenet")),
        ("inception_v3", ("timm", "inception_v3")),
        ("resnet18", ("timm", "resnet18")),
        ("mobilenet_v2", ("torchvision", "mobilenet_v2")),
        ("timm/vgg16", ("timm", "vgg16")),
        ("torchvision/resnet18", ("torchvision", "resnet18")),
        ("small/vit", ("own", "small/vit")),
    ],
)
def test_a_name_leads_to_its_library(model: str, expected: tuple[str, str]) -> None:
    assert resolve(model) == expected


def test_every_known_name_leads_somewhere_and_every_network_is_listed_once() -> None:
    known, listed = known_names(), listed_names()
    assert len(set(known)) == len(known)
    assert {resolve(name) for name in known} == {resolve(name) for name in listed}
    assert len({resolve(name) for name in listed}) == len(listed)
    assert "resnet18" in listed
    assert "torchvision/resnet18" in listed
    assert "timm/resnet18" not in listed


@pytest.mark.parametrize(
    ("model", "near"),
    [
        ("resnt50", "'resnet50'"),
        ("torchvision/resnet19", "'torchvision/resnet18'"),
        ("lenet", "'lenet5'"),
        ("hf-hub:timm/resnet18", "'timm/resnet18'"),
        ("resnet19.a1_in1k", "'resnet18'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(model: str, near: str) -> None:
    with pytest.raises(ModelError, match="unknown model") as caught:
        build(model, {}, 32, 3, 10)
    assert near in str(caught.value)


@pytest.mark.parametrize(
    ("model", "args", "message"),
    [
        ("lenet5", {"activatoin": "relu"}, "unknown entry 'activatoin' in model_args; did you mean 'activation'"),
        ("lenet5", {"activation": "elu"}, "activation is tanh or relu, not 'elu'"),
        ("lenet5", {"pooling": 3}, "pooling is avg or max, not 3"),
        ("small/vit", {"dpeth": 2}, "did you mean 'depth'"),
        ("resnet18", {"drop_rat": 0.1}, "did you mean 'drop_rate'"),
        ("googlenet", {"aux_logit": False}, "did you mean 'aux_logits'"),
        ("vit_tiny_patch16_224", {"patchsize": 4}, "did you mean 'patch_size'"),
        ("torchvision/densenet121", {"growth_rate": 8}, "may not have 'growth_rate': densenet121 sets it itself"),
        ("resnet18", {"num_classes": 3}, "may not have 'num_classes'"),
        ("vit_tiny_patch16_224", {"img_size": 32}, "may not have 'img_size': the key image_size decides it"),
        ("resnet18", {"pretrained": True}, "the key pretrained decides it"),
        ("resnet18", {"checkpoint_path": "x.pth"}, "the key pretrained decides it"),
        ("resnet18", {"pretrained_cfg_overlay": {}}, "the key pretrained decides it"),
    ],
)
def test_a_wrong_argument_is_named_with_what_would_be_right(model: str, args: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        build(model, args, 32, 3, 10)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("model", "size", "remedy"),
    [
        ("vit_tiny_patch16_224", 8, "set model_args: {patch_size: 2}"),
        ("vit_tiny_patch16_224", 28, "set model_args: {patch_size: 7}"),
        ("small/vit", 28, "set model_args: {patch_size: 7}"),
        ("torchvision/vit_b_16", 28, "images of 28 pixels"),
        ("lenet5", 11, "at least 12 pixels"),
    ],
)
def test_an_image_that_does_not_fit_is_refused_with_a_remedy(model: str, size: int, remedy: str) -> None:
    with pytest.raises(ModelError) as caught:
        build(model, {}, size, 3, 10)
    assert remedy in str(caught.value)


def test_the_patch_size_that_an_error_proposes_works() -> None:
    assert meta("vit_tiny_patch16_224", {"patch_size": 7}, 28)(torch.empty(1, 3, 28, 28, device="meta")).shape == (
        1,
        10,
    )


def test_channels_and_classes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ModelError, match="1 or 3 channels, not 2"):
        build("googlenet", {}, 32, 2, 10)
    with pytest.raises(ModelError, match="at least 2 classes, not 1"):
        build("lenet5", {}, 28, 1, 1)


@pytest.mark.parametrize(
    ("model", "args", "words"),
    [
        ("lenet5", {}, "LeNet-5 (tanh, avg pooling)"),
        ("lenet5", {"activation": "relu", "pooling": "max"}, "LeNet-5 (relu, max pooling)"),
        ("resnet18", {}, "resnet18 of timm"),
        ("vgg11_bn", {"dropout": 0.2}, "vgg11_bn of torchvision; dropout 0.2"),
        ("small/alexnet", {}, "AlexNet features with a global-average-pool head (small variant)"),
        (
            "small/densenet",
            {"drop_rate": 0.1, "block_config": [2, 4]},
            "DenseNet of growth rate 16 with dense blocks of 2 4 layers (small variant); drop_rate 0.1",
        ),
    ],
)
def test_an_architecture_in_words_says_what_departs_from_the_stock_network(
    model: str, args: dict[str, Any], words: str
) -> None:
    assert architecture(model, args) == words


@pytest.mark.parametrize(
    ("small", "stock", "size"),
    [
        ("small/alexnet", "alexnet", 64),
        ("small/vgg11_bn", "vgg11_bn", 32),
        ("small/densenet", "densenet121", 32),
        ("small/vit", "vit_tiny_patch16_224", 32),
    ],
)
def test_a_small_variant_has_at_most_half_the_parameters_of_the_stock_network(
    small: str, stock: str, size: int
) -> None:
    assert 2 * parameters(meta(small, {}, size)) <= parameters(meta(stock, {}, size))
