"""What is known of models: found out by a real child process, kept in a real cache, without importing torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from benchmark import catalogue
from benchmark.catalogue import CatalogueError, ModelFacts, ModelSpec, OptimizerSpec
from benchmark.families import family
from benchmark.run import canonical_json
from benchmark.training import describe
from benchmark.training.activations import count_activations

ROOT = Path(__file__).parent.parent


def spec(model: str, size: int = 32, channels: int = 3, classes: int = 10, **args: object) -> ModelSpec:
    return ModelSpec(model, canonical_json(args), size, channels, classes)


ASKED = [
    spec("lenet5", 28, 1),
    spec("resnet18"),
    spec("resnt50"),
    spec("resnet18", drop_rat=0.1),
    spec("small/alexnet", 28),
    spec("vit_tiny_patch16_224", 28),
]

OPTIMIZER_ARGS: list[dict[str, object]] = [{}, {"lr": 0.1}, {"betas": 3}]


def run(code: str, cwd: Path, cache: Path) -> str:
    command = [sys.executable, "-P", "-c", code, str(cache)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with :data:`ASKED` and the names in it."""
    cache = tmp_path_factory.mktemp("кот #1")
    catalogue.names(cache)
    catalogue.describe(ASKED, cache)
    catalogue.refusals([OptimizerSpec("adamw", canonical_json(each)) for each in OPTIMIZER_ARGS], cache)
    return cache


@pytest.fixture
def cache(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "кэш #2"))


@pytest.fixture
def no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes find a torch that cannot be imported."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "torch.py").write_text("raise ImportError('libtorch.so: file too short')")
    monkeypatch.setenv("PYTHONPATH", str(broken))


def test_facts_are_those_of_the_networks(cache: Path) -> None:
    facts = catalogue.describe(ASKED[:2], cache)
    assert list(facts) == ASKED[:2]
    lenet, resnet = facts.values()
    assert lenet == ModelFacts(61_706, 416_520, "LeNet-5 (tanh, avg pooling)", 12, None, lenet.activations, 4_704)
    assert (resnet.parameters, resnet.macs, resnet.minimum_size) == (11_181_642, 37_016_576, 1)


def test_one_image_alone_trains_a_network_unless_it_normalises_single_values(cache: Path) -> None:
    asked = [spec("lenet5", 28, 1), spec("resnet18"), spec("resnet18", 64)]
    assert [each.minimum_batch for each in catalogue.describe(asked, cache).values()] == [1, 2, 1]


def test_optimizers_are_tried_with_their_arguments_once(cache: Path, no_torch: None) -> None:
    asked = [OptimizerSpec("adamw", canonical_json(each)) for each in OPTIMIZER_ARGS]
    assert list(catalogue.refusals(asked, cache).values()) == [
        None,
        "optimizer_args: 'lr' may not stand here; lr is a key of its own",
        "optimizer_args: adamw refuses its arguments: 'int' object is not subscriptable",
    ]


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("SGD", {"nesterof": True}, "SGD has no argument 'nesterof'; did you mean 'nesterov'?; it has dampening,"),
        ("lion", {"betas": [2, 3]}, "lion refuses its arguments: Invalid beta"),
        ("adamw", {"betas": ["a", "b"]}, "adamw refuses its arguments: "),
        ("adahessian", {}, "adahessian cannot take a step: "),
        ("momentum", {"dampening": "x"}, "momentum cannot take a step: "),
        ("adamw", {"layer_decay": 0.7, "betas": [0.9, 0.95]}, None),
        ("fusedadamw", {}, None),
    ],
)
def test_what_an_optimizer_refuses_is_explained(name: str, args: dict[str, object], said: str | None) -> None:
    refusal = describe.refusal(OptimizerSpec(name, canonical_json(args)))
    if said is None:
        assert refusal is None
    else:
        assert refusal is not None
        assert refusal.startswith(f"optimizer_args: {said}")


def test_a_spec_that_makes_no_sense_has_an_error_and_the_others_their_facts(cache: Path) -> None:
    facts = catalogue.describe(ASKED, cache)
    assert facts[spec("resnt50")] == ModelFacts(0, 0, "", 0, "unknown model 'resnt50'; did you mean 'resnet50'?")
    assert "did you mean 'drop_rate'" in str(facts[spec("resnet18", drop_rat=0.1)].error)
    assert facts[spec("resnet18")].error is None


def test_a_size_that_does_not_work_has_the_next_that_does_and_the_remedies(cache: Path) -> None:
    facts = catalogue.describe(ASKED, cache)
    alexnet, vit = facts[spec("small/alexnet", 28)], facts[spec("vit_tiny_patch16_224", 28)]
    assert (alexnet.minimum_size, vit.minimum_size) == (63, 32)
    assert alexnet.parameters > 0
    assert "set image_size: 63, or resize: auto" in str(alexnet.error)
    assert "model_args: {patch_size: 7}" in str(vit.error)
    assert "set image_size: 32, or resize: auto" in str(vit.error)


@pytest.mark.usefixtures("no_torch")
def test_what_is_known_starts_no_process_and_writes_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue.tempfile, "TemporaryFile", None)
    with catalogue.one_child():
        assert len(catalogue.describe([*ASKED, *ASKED], cache)) == len(ASKED)
        assert "resnet18" in catalogue.names(cache).models


def test_within_a_block_one_child_answers_everything_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, popen = [], subprocess.Popen

    def begin(*arguments: Any, **more: Any) -> Any:
        started.append(popen(*arguments, **more))
        return started[-1]

    monkeypatch.setattr(catalogue.subprocess, "Popen", begin)
    with catalogue.one_child():
        assert "lenet5" in catalogue.names(tmp_path).models
        assert catalogue.describe([spec("lenet5", 28, 1)], tmp_path)
        assert catalogue.refusals([OptimizerSpec("sgd", "{}")], tmp_path)
        assert len(started) == 1
        assert started[0].poll() is None
    assert started[0].returncode == 0


@pytest.mark.usefixtures("no_torch")
def test_a_child_that_dies_is_reported_with_the_end_of_its_errors(cache: Path) -> None:
    with pytest.raises(CatalogueError, match=r"exit status 1:\n(.|\n)*libtorch.so: file too short"):
        catalogue.describe([spec("lenet5", 64)], cache)


def test_a_damaged_answer_is_found_out_again(cache: Path) -> None:
    known = catalogue.describe(ASKED[:1], cache)
    (stored,) = (
        path for path in cache.rglob("*.json") if '"lenet5"' in path.read_text() and "facts" in path.read_text()
    )
    stored.write_text(stored.read_text()[:40])
    assert catalogue.describe(ASKED[:1], cache) == known
    assert json.loads(stored.read_text())["facts"]["parameters"] == 61_706


def test_nothing_of_torch_is_imported_and_a_package_in_the_working_directory_is_not_taken(
    tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    code = """
import sys; from pathlib import Path; from benchmark import catalogue
cache = Path(sys.argv[1]); (row,) = catalogue.search("lenet*", cache)
assert row.facts.parameters == 83_126, row
assert len(catalogue.names(cache).models) > 1000
print(sorted({"torch", "torchvision", "timm"} & set(sys.modules)))
"""
    assert run(code, tmp_path, cache).strip() == "[]"


def test_a_cache_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogueError, match=r"file.*cannot be written.*TORCH_IMAGE_BENCHMARK_CACHE"):
        catalogue.describe([spec("lenet5")], tmp_path / "file")


@pytest.mark.nightly
@pytest.mark.slow
def test_processes_that_ask_at_a_time_get_equal_answers(tmp_path: Path) -> None:
    code = """
import sys; from pathlib import Path; from benchmark.catalogue import ModelSpec, describe
asked = [ModelSpec(name, "{}", 32, 3, 10) for name in ("lenet5", "resnet18", "small/vit", "small/densenet")]
print(sorted(map(repr, describe(asked, Path(sys.argv[1])).items())))
"""
    command = [sys.executable, "-P", "-c", code, str(tmp_path / "кэш")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    children = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    assert len(set(answers)) == 1
    assert answers[0].count("error=None") == 4


def test_a_search_takes_a_text_or_a_glob(cache: Path) -> None:
    names = [row.name for row in catalogue.search("resnet18", cache, details=False)]
    assert {"resnet18", "torchvision/resnet18", "seresnet18"} <= set(names)
    globbed = [row.name for row in catalogue.search("resnet1?", cache, details=False)]
    assert globbed == ["resnet18"]
    assert catalogue.search("nothing-like-it", cache) == ()


@pytest.mark.usefixtures("no_torch")
def test_a_search_for_many_starts_no_process_and_shows_the_details_that_are_known(cache: Path) -> None:
    rows = {row.name: row for row in catalogue.search("*", cache)}
    assert len(rows) > 1000
    assert rows["densenet121"].facts is None
    assert rows["resnet18"].facts is not None
    assert rows["resnet18"].family == "ResNet"


@pytest.mark.parametrize(
    "name",
    [
        "alexnet",
        "vgg11_bn",
        "googlenet",
        "resnet18",
        pytest.param("inception_v3", marks=pytest.mark.slow),
        pytest.param("densenet121", marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_small", marks=pytest.mark.slow),
    ],
)
def test_the_minimum_size_is_the_one_that_torchvision_publishes(name: str) -> None:
    from torchvision.models import get_model_weights

    published, _ = next(iter(get_model_weights(name))).meta["min_size"]
    args = {"aux_logits": False} if name in {"googlenet", "inception_v3"} else {}
    fitting = describe.facts(spec(f"torchvision/{name}", 80, **args))
    assert (fitting.minimum_size, fitting.error) == (published, None)
    if published > 1:
        small = describe.facts(spec(f"torchvision/{name}", published - 1, **args))
        assert small.minimum_size == published
        assert small.error


@pytest.mark.parametrize(
    ("asked", "minimum"),
    [
        (spec("lenet5", 28, 1), 12),
        (spec("lenet5", 5, 1), 12),
        (spec("vit_tiny_patch16_224", 48), 16),
        (spec("vit_tiny_patch16_224", 8), 16),
        (spec("small/vit", 28, patch_size=7), 7),
        (spec("torchvision/vit_b_16", 28), 32),
    ],
)
def test_sizes_of_whole_patches_and_of_our_own_networks_are_found(asked: ModelSpec, minimum: int) -> None:
    assert describe.facts(asked).minimum_size == minimum


def test_activations_are_what_a_training_pass_keeps() -> None:
    facts = describe.facts(spec("lenet5", 28, 1))
    image, first, second = 28 * 28, 6 * 28 * 28, 16 * 10 * 10  # each tanh's output, which its pooling keeps as well
    assert facts.activations == image + first + first // 4 + second + second // 4 + 120 + 84
    assert facts.widest == first


@pytest.mark.parametrize("model", ["resnet18", "small/vgg11_bn"])
def test_activations_grow_with_the_area_of_the_image_and_do_not_depend_on_the_classes(model: str) -> None:
    small, large = (describe.facts(spec(model, size, classes=classes)) for size, classes in ((32, 10), (64, 100)))
    assert large.activations == pytest.approx(4 * small.activations, rel=0.05)  # a norm also keeps a mean a channel
    assert large.widest == 4 * small.widest
    assert large.error is None


def test_activations_are_of_memory_not_of_tensors() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Flatten(), nn.Dropout(0.5))
    values = 8 * 4 * 4
    # The image, what the convolution gives, what the ReLU leaves in place of the norm's, and a mask of one byte each.
    activations, widest = count_activations(network.to("meta"), 4, 3)
    assert widest == values
    assert 3 * 4 * 4 + 2.25 * values <= activations <= 3 * 4 * 4 + 3 * values + 2 * 8


def test_a_network_that_is_no_classifier_says_so() -> None:
    asked = spec("vit_tiny_patch16_224", 32, global_pool="", depth=1)
    assert "is not a classifier" in str(describe.facts(asked).error)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lenet5", "LeNet"),
        ("small/alexnet", "AlexNet"),
        ("timm/vgg11_bn", "VGG"),
        ("repvgg_a0", "other"),
        ("resnet50", "ResNet"),
        ("legacy_seresnext50_32x4d", "ResNet"),
        ("wide_resnet50_2", "ResNet"),
        ("resnest50d", "other"),
        ("googlenet", "Inception/GoogLeNet"),
        ("inception_resnet_v2", "Inception/GoogLeNet"),
        ("inception_next_tiny", "other"),
        ("small/densenet", "DenseNet"),
        ("tf_efficientnetv2_b0", "EfficientNet"),
        ("efficientvit_b0", "other"),
        ("mobilenetv3_small_100", "MobileNet"),
        ("mobilevit_s", "other"),
        ("vit_base_resnet50d_224", "Vision Transformer"),
        ("deit3_small_patch16_224", "Vision Transformer"),
    ],
)
def test_a_name_belongs_to_its_family(name: str, expected: str) -> None:
    assert family(name) == expected
