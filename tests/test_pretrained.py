"""Files of weights into networks: read safely, matched by name or in order, fitted to channels, classes and sizes."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from timm.models import adapt_input_conv
from torch import Tensor, nn

from benchmark.training import statedict
from benchmark.training.heads import head_names, in_head
from benchmark.training.models import ModelError, architecture, build, resolve
from benchmark.training.pretrained import fill, load_weights, named_for
from benchmark.training.statedict import WeightsError
from benchmark.weights import FILE, sha256

SIZE = 64
FAMILIES = ["lenet5", "small/alexnet", "small/vit", "test_resnet", "test_vit", "test_efficientnet", "test_convnext"]
Tensors = dict[str, Tensor]


def network(
    model: str = "test_resnet", channels: int = 3, classes: int = 7, size: int = SIZE, **args: Any
) -> nn.Module:
    given = {"patch_size": 8} if model == "small/vit" else {}
    return build(model, {**given, **args}, size, channels, classes)


def trained(model: str = "test_resnet", **keys: Any) -> Tensors:
    """The tensors of a network of another seed."""
    torch.manual_seed(42)
    return {name: each.clone() for name, each in network(model, **keys).state_dict().items()}


def same(found: Tensors, wanted: Tensors, names: set[str]) -> bool:
    return all(torch.equal(found[name], wanted[name]) for name in names)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    found = tmp_path / "кот #1"
    found.mkdir()
    return found


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.witness}'",)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_a_file_that_would_run_code_is_refused_and_runs_none(suffix: str, place: Path) -> None:
    path, witness = place / f"weights{suffix}", place / "witness"
    for content in ({"state_dict": Evil(witness)}, Evil(witness)):
        torch.save(content, path)
        with pytest.raises(WeightsError, match="could run code"):
            statedict.read(path)
        path.write_bytes(pickle.dumps(content, 2))
        with pytest.raises(WeightsError):
            statedict.read(path)
    assert not witness.exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pth", b"", "broken"),
        ("a.pth", b"not weights", "broken|could run code"),
        ("a.safetensors", b"\x00" * 40, "broken"),
        ("a.npz", b"", "not a file of weights; known are .safetensors"),
        ("b.pth", None, "cannot be read: No such file"),
        ("c.safetensors", None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    name: str, content: bytes | None, words: str, place: Path
) -> None:
    if content is not None:
        (place / name).write_bytes(content)
    with pytest.raises(WeightsError, match=words) as caught:
        statedict.read(place / name)
    assert str(place / name) in str(caught.value)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_ema"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model."])
def test_wrappers_and_prefixes_of_training_programs_are_taken_off(
    wrapper: str | None, prefix: str, place: Path
) -> None:
    tensors = {f"{prefix}{name}": each for name, each in trained().items()}
    content = {wrapper: tensors, "epoch": 3, "optimizer": {"state": {}}} if wrapper else tensors
    torch.save(content, place / "a.pth")
    found = statedict.read(place / "a.pth")
    assert list(found) == list(trained())
    assert same(found, trained(), set(found))


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {}])
def test_a_file_without_tensors_says_what_it_has(content: object, place: Path) -> None:
    torch.save(content, place / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth: h(olds a list|as no tensors)"):
        statedict.read(place / "a.pth")


@pytest.mark.parametrize("model", FAMILIES)
def test_weights_come_into_the_network_and_a_classifier_of_other_classes_is_fresh(model: str) -> None:
    tensors, other = trained(model), network(model, classes=3)
    before = {name: each.clone() for name, each in other.state_dict().items()}
    head = set(in_head(other))
    assert head
    assert all(name.rpartition(".")[0] in head_names(other) for name in head)
    fill(other, tensors)
    state = other.state_dict()
    assert same(state, tensors, set(state) - head)
    assert not same(state, before, set(state) - head)
    assert all(state[name].shape[0] == 3 for name in head)


@pytest.mark.parametrize("model", FAMILIES)
def test_a_classifier_of_as_many_classes_is_taken_over(model: str) -> None:
    tensors, other = trained(model), network(model)
    fill(other, tensors)
    assert same(other.state_dict(), tensors, set(tensors))


def test_a_fresh_classifier_depends_on_the_seed_and_begins_small() -> None:
    found, tensors = [], trained("test_efficientnet")
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        other = network("test_efficientnet", classes=4)
        fill(other, tensors)
        found.append(other.get_submodule("classifier").weight)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert float(found[0].detach().abs().max()) <= found[0].shape[1] ** -0.5


@pytest.mark.parametrize("model", ["test_resnet", "test_vit", "torchvision/resnet18"])
def test_grey_images_get_the_first_convolution_as_timm_adapts_it(model: str) -> None:
    tensors, grey = trained(model), network(model, channels=1)
    fill(grey, tensors)
    name = next(name for name, each in tensors.items() if each.ndim == 4 and each.shape[1] == 3)
    assert torch.equal(grey.state_dict()[name], adapt_input_conv(1, tensors[name]))
    images = torch.randn(2, 1, SIZE, SIZE)
    colour = network(model)
    fill(colour, tensors)
    rgb = images.expand(-1, 3, -1, -1).contiguous()
    assert torch.allclose(grey.eval()(images), colour.eval()(rgb), rtol=1e-3, atol=1e-4)


def test_rgb_images_take_weights_of_grey_ones() -> None:
    tensors, colour = trained("lenet5", channels=1), network("lenet5", channels=3)
    fill(colour, tensors)
    images = torch.randn(2, 1, SIZE, SIZE)
    grey = network("lenet5", channels=1)
    fill(grey, tensors)
    assert torch.allclose(grey.eval()(images), colour.eval()(images.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-4)


def test_position_embeddings_are_fitted_to_another_image_size() -> None:
    tensors, larger = trained("test_vit", size=64), network("test_vit", size=96)
    assert tensors["pos_embed"].shape != larger.state_dict()["pos_embed"].shape
    fill(larger, tensors)
    assert larger.state_dict()["pos_embed"].std() > 0
    assert torch.equal(larger.state_dict()["patch_embed.proj.weight"], tensors["patch_embed.proj.weight"])


def test_half_precision_weights_become_single_precision() -> None:
    tensors = {name: each.half() if each.is_floating_point() else each for name, each in trained().items()}
    other = network()
    fill(other, tensors)
    assert {each.dtype for each in other.parameters()} == {torch.float32}


def renamed(tensors: Tensors) -> Tensors:
    """The same tensors in the same order, under names that only end alike."""
    return {f"_part{number}.{name.rpartition('.')[2]}": each for number, (name, each) in enumerate(tensors.items())}


def test_other_names_in_the_same_order_are_understood() -> None:
    tensors, other = trained(), network(classes=3)
    fill(other, renamed(tensors))
    assert same(other.state_dict(), tensors, set(tensors) - set(in_head(other)))


def test_the_first_tensors_that_differ_are_named() -> None:
    tensors = trained()
    with pytest.raises(WeightsError) as caught:
        named_for(network("small/alexnet"), tensors)
    words = str(caught.value)
    assert "the file lacks 0.weight, 0.bias" in words or "lacks" in words
    assert "number 1 is conv1.0.weight" in words
    assert "in the model" in words


def test_an_order_in_which_equal_shapes_are_exchanged_is_refused() -> None:
    """As .safetensors would give it: bias before weight, with the shapes of a batch normalisation all alike."""
    tensors = renamed(trained())
    names = list(tensors)
    first = next(i for i, name in enumerate(names) if name.endswith("weight") and tensors[name].ndim == 1)
    names[first], names[first + 1] = names[first + 1], names[first]
    with pytest.raises(WeightsError, match=f"number {first + 1} is"):
        named_for(network(), {name: tensors[name] for name in names})


@pytest.mark.parametrize("change", ["missing", "besides", "shape"])
def test_weights_of_another_network_are_refused(change: str) -> None:
    tensors = trained()
    if change == "missing":
        del tensors["layer2.0.conv1.weight"]
    if change == "besides":
        tensors["layer9.0.conv1.weight"] = torch.zeros(2)
    if change == "shape":
        tensors["layer2.0.conv1.weight"] = torch.zeros(5, 5, 3, 3)
    with pytest.raises(WeightsError, match=r"layer\d\.0\.conv1\.weight"):
        fill(network(), tensors)


def test_fewer_layers_than_the_weights_have_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"has blocks\.\d"):
        fill(network("test_vit", depth=3), trained("test_vit"))


def test_googlenet_takes_weights_without_auxiliary_heads() -> None:
    tensors = trained("googlenet", aux_logits=False)
    other = network("googlenet")
    fill(other, tensors)
    assert same(other.state_dict(), tensors, set(tensors))
    assert any(name.startswith("aux1.") for name in other.state_dict())


@pytest.mark.parametrize("model", ["torchvision/resnet18", "googlenet", "torchvision/squeezenet1_1", "densenet121"])
def test_the_classifier_of_a_library_s_network_is_found(model: str) -> None:
    with torch.device("meta"):
        found = build(model, {}, SIZE, 3, 7)
    (name,) = head_names(found)
    assert found.get_submodule(name).weight.shape[0] == 7


def test_a_dense_layer_is_its_own_classifier() -> None:
    assert in_head(nn.Linear(3, 2)) == {"weight", "bias"}


def test_stored_weights_are_those_that_were_asked_for(place: Path) -> None:
    save_file(trained(), place / FILE)
    other = network()
    load_weights(other, place, sha256(place / FILE))
    assert same(other.state_dict(), trained(), set(trained()))
    with pytest.raises(WeightsError, match=r"wants weights 000000000000, .* holds"):
        load_weights(other, place, "0" * 64)
    with pytest.raises(WeightsError, match="is not there"):
        load_weights(other, place / "elsewhere", "0" * 64)


def test_a_flipped_bit_is_noticed(place: Path) -> None:
    save_file(trained(), place / FILE)
    digest = sha256(place / FILE)
    content = bytearray((place / FILE).read_bytes())
    content[-5] ^= 1
    (place / FILE).write_bytes(content)
    with pytest.raises(WeightsError, match="holds"):
        load_weights(network(), place, digest)


def test_a_name_with_a_tag_is_the_same_network() -> None:
    assert resolve("resnet18.a1_in1k") == resolve("timm/resnet18.a1_in1k") == ("timm", "resnet18.a1_in1k")
    torch.manual_seed(0)
    plain = build("resnet18", {}, 32, 3, 5).state_dict()
    torch.manual_seed(0)
    tagged = build("resnet18.a1_in1k", {}, 32, 3, 5).state_dict()
    assert same(plain, tagged, set(plain))
    assert architecture("resnet18.a1_in1k", {}) == "resnet18.a1_in1k of timm"


def test_an_unknown_tag_is_refused_with_those_there_are() -> None:
    with pytest.raises(ModelError, match="no weights 'b7' of resnet18; it has a1_in1k, "):
        resolve("resnet18.b7")
