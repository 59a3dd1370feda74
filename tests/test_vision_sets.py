"""torchvision's classification sets, each from raw files in torchvision's own layout."""

import dataclasses
import importlib.metadata
import json
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.data import prepared
from benchmark.data.datasets import DataError, inspect, load, prepare
from benchmark.data.vision_sets import DATASETS
from benchmark.datacard import DataCard
from benchmark.run import DataSpec
from benchmark.training.torchvision_classes import common_classes
from tests import vision_files as files
from tests.night import by_day

EMNIST = ("emnist-balanced-train-{}-ubyte", "emnist-balanced-test-{}-ubyte", 47)
LETTERS = ("emnist-letters-train-{}-ubyte", "emnist-letters-test-{}-ubyte", 26, 1)
SETS = {
    **{name: (lambda root, name=name: files.mnist(root, name), (50, 10, 20), 10) for name in ("MNIST", "KMNIST")},
    "EMNIST": (lambda root: files.mnist(root, "EMNIST", *EMNIST), (235, 47, 94), 47),
    "EMNIST-letters": (lambda root: files.mnist(root, "EMNIST", *LETTERS), (130, 26, 52), 26),
    "QMNIST": (files.qmnist, (50, 10, 20), 10),
    "USPS": (files.usps, (30, 10, 20), 10),
    "CIFAR10": (files.cifar, (90, 10, 20), 10),
    "CIFAR100": (lambda root: files.cifar(root, coarse=True), (300, 100, 200), 100),
    "SVHN": (files.svhn, (50, 10, 20), 10),
    "STL10": (files.stl10, (30, 10, 20), 10),
    "SEMEION": (files.semeion, (40, 10, 10), 10),
    "Flowers102": (files.flowers, (20, 10, 10), 4),
    "Food101": (files.food, (14, 2, 6), 2),
    "OxfordIIITPet": (files.pets, (14, 2, 6), 2),
    "EuroSAT": (files.eurosat, (21, 3, 6), 3),
    "GTSRB": (files.gtsrb, (21, 3, 9), 3),
    "DTD": (files.dtd, (10, 6, 6), 2),
    "StanfordCars": (files.cars, (6, 2, 8), 2),
    "FGVCAircraft": (files.aircraft, (10, 4, 6), 2),
    "FGVCAircraft-family": (files.aircraft, (10, 4, 6), 2),
    "Country211": (files.country211, (10, 6, 6), 2),
    "RenderedSST2": (files.sst2, (8, 8, 8), 2),
    "Imagenette": (files.imagenette, (8, 2, 6), 2),
    "Imagenette-160px": (lambda root: files.imagenette(root, "imagenette2-160"), (8, 2, 6), 2),
    "ImageNet": (lambda root: files.imagenet(root, kit=True), (16, 4, 12), 4),
    "SUN397": (files.sun397, (10, 2, 4), 2),
    "Caltech101": (files.caltech101, (10, 2, 4), 2),
    "Caltech256": (files.caltech256, (10, 2, 4), 2),
    "Places365": (files.places365, (6, 2, 4), 2),
    "PCAM": (files.pcam, (40, 10, 10), 2),
}
"""Name -> what writes its files, sizes of training, validation and test, classes."""
VARIANTS = {"EMNIST-byclass", "EMNIST-bymerge", "EMNIST-digits", "EMNIST-mnist", "FGVCAircraft-manufacturer"}
VARIANTS |= {"Imagenette-320px", "FashionMNIST"}
"""Other arguments of a class that is tried, or tried in tests/test_torchvision_data.py."""


@pytest.fixture
def root(tmp_path):
    return tmp_path / "кот #1"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)


def spec(name, root):
    return DataSpec("torchvision", name=name, path=str(root))


def test_every_set_is_tried():
    assert DATASETS.keys() == SETS.keys() | VARIANTS


@pytest.mark.slow
@pytest.mark.parametrize("name", by_day({"MNIST", "CIFAR10", "ImageNet", "GTSRB"}.__contains__, SETS))
def test_a_set_is_read_from_its_raw_files(name, root, cache):
    write, sizes, classes = SETS[name]
    write(root)
    facts = inspect(spec(name, root), cache)
    assert tuple(facts.sizes.values()) == sizes
    assert len(facts.classes) == len(set(facts.classes)) == classes
    assert inspect(spec(name, root), cache) == facts
    images, labels, ids = prepared.arrays(
        prepare(spec(name, root), image_size=16, channels=3, resize="crop", cache=cache)
    )
    assert images.shape == (sum(sizes), 16, 16, 3)
    assert len(set(ids)) == sum(sizes)
    assert sorted(set(labels.tolist())) == list(range(classes))


@pytest.mark.slow
def test_labels_and_pixels_are_those_of_the_files(root, cache):
    files.flowers(root)
    data = load(spec("Flowers102", root), cache)
    assert data.classes == ("pink primrose", "hard-leaved pocket orchid", "canterbury bells", "sweet pea")
    for index, id_ in enumerate(data.ids):
        number = int(id_[-9:-4])
        assert data.labels[index] == (number - 1) % 4
        np.testing.assert_array_equal(data.images.pixels(index), np.asarray(Image.open(root / id_)))
    assert [data.ids[index] for index in data.order[:20]] == [
        f"flowers-102/jpg/image_{number:05d}.jpg" for number in range(1, 21)
    ]


@pytest.mark.slow
def test_a_changed_and_a_missing_image_are_noticed(root, cache):
    files.food(root)
    before = inspect(spec("Food101", root), cache)
    path = files.picture(root / "food-101" / "images" / "waffles" / "3.jpg")
    assert inspect(spec("Food101", root), cache).digest != before.digest
    path.unlink()
    with pytest.raises(DataError, match=r"1 of 22 images cannot be read.*\n.*waffles/3\.jpg: No such file"):
        inspect(spec("Food101", root), cache)


@pytest.mark.slow
def test_an_added_image_is_noticed_where_directories_are_listed(root, cache):
    files.eurosat(root)
    before = inspect(spec("EuroSAT", root), cache)
    files.picture(root / "eurosat" / "2750" / "Forest" / "Forest_99.jpg")
    assert sum(inspect(spec("EuroSAT", root), cache).sizes.values()) == sum(before.sizes.values()) + 1


@pytest.mark.slow
def test_folders_of_imagenet_need_no_development_kit(root, cache):
    files.imagenet(root, kit=False)
    facts = inspect(spec("ImageNet", root), cache)
    assert facts.classes == ("n01440764", "n01518878", "n02012849", "n03126707")
    assert facts.sizes == {"train": 16, "val": 4, "test": 12}


@pytest.mark.slow
def test_synonyms_name_a_class_by_the_first_unless_two_share_it(root, cache):
    files.imagenet(root, kit=True)
    assert inspect(spec("ImageNet", root), cache).classes == (
        "tench, Tinca tinca",
        "ostrich",
        "crane, bird",
        "crane, machine",
    )
    labels = {"train": np.array([0, 1])}
    assert common_classes(labels, {"train": [("tench", "Tinca tinca"), ("ostrich",)]})[0] == ["tench", "ostrich"]


def test_splits_that_number_their_classes_differently_are_brought_together():
    labels = {"train": np.array([0, 1, 2, 1]), "test": np.array([0, 1])}
    names, numbers = common_classes(labels, {"train": ["a", "b", "c"], "test": ["b", "c"]})
    assert names == ["a", "b", "c"]
    assert numbers["test"].tolist() == [1, 2]
    assert common_classes({"train": np.array([3, 7])}, {"train": None})[0] == ["3", "7"]


@pytest.mark.slow
def test_files_that_are_not_the_known_ones_are_taken_and_told(root, cache):
    files.cifar(root)
    card = DataCard.of(spec("CIFAR10", root), cache)
    assert "CIFAR10: the files are not those that torchvision downloads (MD5)" in card.warnings
    assert card.facts.classes[3] == "thing 3"


@pytest.mark.slow
@pytest.mark.parametrize("code", [b"cos\nsystem\n(S'touch hacked'\ntR.", pickle.dumps(Path("x"))])
def test_a_pickle_cannot_run_code(root, cache, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.cifar(root)
    (root / "cifar-10-batches-py" / "data_batch_2").write_bytes(code)
    with pytest.raises(DataError, match=r"a pickle refers to .*, which no data set needs"):
        inspect(spec("CIFAR10", root), cache)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.slow
def test_archives_that_lie_where_torchvision_puts_them_are_unpacked(root, cache):
    files.mnist(root, "KMNIST", packed=True)
    assert inspect(spec("KMNIST", root), cache).sizes == {"train": 50, "val": 10, "test": 20}
    assert len(list((root / "KMNIST" / "raw").iterdir())) == 8


@pytest.mark.slow
@pytest.mark.parametrize("name", by_day("CIFAR10".__eq__, ["SVHN", "STL10", "CIFAR10", "MNIST"]))
def test_a_truncated_file_is_an_error_with_a_remedy(name, root, cache):
    SETS[name][0](root)
    largest = max((path for path in root.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    with largest.open("r+b") as file:
        file.truncate(largest.stat().st_size // 2)
    with pytest.raises(DataError, match=rf"(?s)torchvision's {name} is not in .*machine with a network"):
        inspect(spec(name, root), cache)


@pytest.mark.slow
@pytest.mark.parametrize("name", by_day("PCAM".__eq__, ["StanfordCars", "ImageNet", "PCAM", "EuroSAT"]))
def test_what_cannot_be_downloaded_says_so(name, root, cache):
    with pytest.raises(DataError, match=r"(?s)download: .*copy its files to .*set `path`"):
        inspect(spec(name, root), cache)
    assert not list((cache / "exports").glob("*/export.json"))


@pytest.mark.slow
def test_splits_that_are_made_keep_copies_together(root, cache):
    files.eurosat(root)
    folder = root / "eurosat" / "2750" / "River"
    for number in range(5):
        (folder / f"River_{number}.jpg").write_bytes((folder / "River_0.jpg").read_bytes())
    data = load(spec("EuroSAT", root), cache)
    ends = np.cumsum([0, *data.sizes.values()])
    parts = [{data.ids[index] for index in data.order[start:end]} for start, end in pairwise(ends)]
    copies = {f"eurosat/2750/River/River_{number}.jpg" for number in range(5)}
    assert sum(bool(part & copies) for part in parts) == 1


@pytest.mark.slow
def test_a_test_fraction_is_of_sets_without_a_test_split(root, cache):
    files.eurosat(root)
    half = dataclasses.replace(spec("EuroSAT", root), test_fraction=0.5)
    assert inspect(half, cache).sizes["test"] == 15


def test_h5py_is_installed_for_these_tests():
    assert importlib.metadata.version("h5py")


@pytest.mark.slow
def test_a_broken_export_is_made_again(root, cache):
    files.mnist(root, "MNIST")
    facts = inspect(spec("MNIST", root), cache)
    document = next((cache / "exports").glob("*/export.json"))
    kept = json.loads(document.read_text())
    document.write_text("{broken")
    assert inspect(spec("MNIST", root), cache) == facts
    assert json.loads(document.read_text()) == kept
    assert list((cache / "exports").iterdir()) == [document.parent]
