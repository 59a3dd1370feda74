import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.data import prepared
from benchmark.data.datasets import DataError, inspect, prepare
from benchmark.run import DataSpec
from benchmark.training.torchvision_found import unpack
from benchmark.training.torchvision_samples import labels_of, pixels

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "кот #1"


def write_mnist(root, name="MNIST", shade=0):
    """Raw files as torchvision expects them, with images of one shade and labels in turn."""
    raw = root / name / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", 40), ("t10k", 20)):
        images = np.full((count, 28, 28), shade, np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            shape = np.array(array.shape, dtype=">u4").tobytes()
            (raw / f"{part}-{kind}-ubyte").write_bytes(bytes([0, 0, 8, array.ndim]) + shape + array.tobytes())


def test_an_unknown_name_is_an_error_that_names_the_known_ones(tmp_path):
    with pytest.raises(
        DataError, match=r"'ImageNette' is not known here .did you mean Imagenette.*; known are MNIST, .*source: folder"
    ):
        inspect(DataSpec("torchvision", name="ImageNette"), tmp_path)


@pytest.mark.slow
def test_raw_files_are_found_where_the_path_says_and_read_again_when_they_change(root, tmp_path):
    write_mnist(root, shade=3)
    spec = DataSpec("torchvision", name="MNIST", path=str(root))
    facts = inspect(spec, tmp_path)
    assert (facts.sizes, facts.image_size, facts.channels) == ({"train": 30, "val": 10, "test": 20}, 28, 1)
    assert facts.classes[3] == "3 - three"
    images, labels, ids = prepared.arrays(prepare(spec, image_size=28, channels=1, resize="crop", cache=tmp_path))
    assert (images == 3).all()
    assert labels[40:].tolist() == [*range(10), *range(10)]
    assert ids[40] == "test/00000"
    write_mnist(root, shade=4)
    assert inspect(spec, tmp_path).digest != facts.digest


@pytest.mark.slow
def test_without_files_and_network_the_error_names_the_data_set_and_the_remedy(root, tmp_path, monkeypatch):
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(DataError, match=r"torchvision's CIFAR10 is not in .*\n.*machine with a network") as caught:
        inspect(DataSpec("torchvision", name="CIFAR10", path=str(root)), tmp_path)
    assert str(root) in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs the Debian package dataset-fashion-mnist")
def test_debian_copy_of_fashion_mnist_is_found(root):
    spec = DataSpec("torchvision", name="FashionMNIST")
    facts = inspect(spec, root)
    assert facts.sizes == {"train": 54_000, "val": 6_000, "test": 10_000}
    assert (root / "torchvision" / "FashionMNIST" / "raw" / "train-images-idx3-ubyte").stat().st_size == 47_040_016
    document = json.loads(next((root / "exports").glob("*/export.json")).read_text())
    assert len(document["files"]) == 4


def test_debian_files_are_unpacked_once(root, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a-ubyte.gz").write_bytes(gzip.compress(b"new"))
    raw = root / "FashionMNIST" / "raw"
    unpack(source, raw)
    assert (raw / "a-ubyte").read_bytes() == b"new"
    (raw / "a-ubyte").write_bytes(b"the user's")
    unpack(source, raw)
    assert (raw / "a-ubyte").read_bytes() == b"the user's"


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        (torch.zeros((5, 28, 28), dtype=torch.uint8), (5, 28, 28, 1)),
        (np.zeros((5, 32, 30, 3), np.uint8), (5, 32, 30, 3)),
        (np.zeros((5, 3, 96, 96), np.uint8), (5, 96, 96, 3)),
    ],
)
def test_images_are_turned_channels_last(given, shape):
    assert pixels(given).shape == shape


def test_images_that_are_no_bytes_are_refused():
    with pytest.raises(ValueError, match="float32"):
        pixels(np.zeros((5, 3, 3), np.float32))


def test_labels_go_by_two_names():
    class WithTargets:
        targets = (1, 2)

    class WithLabels:
        labels = np.array([3, 4], np.uint8)

    assert labels_of(WithTargets()).tolist() == [1, 2]
    assert labels_of(WithLabels()).dtype == np.int64
