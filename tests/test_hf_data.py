"""The source ``hf``: data sets that the library ``datasets`` saved in a folder, and the error without a network."""

import os
import subprocess
import sys

import numpy as np
import pytest

from benchmark.data import prepared
from benchmark.data.datasets import DataError, inspect, load, prepare
from benchmark.run import DataSpec

SAVE = """
import sys
import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from PIL import Image as Pillow
random = np.random.default_rng(5)
def part(count, size):
    pictures = [Pillow.fromarray(random.integers(0, 256, (size, size + 2, 3), dtype=np.uint8)) for _ in range(count)]
    data = {"picture": pictures, "animal": [number % 2 for number in range(count)], "note": ["x"] * count}
    features = Features({"picture": Image(), "animal": ClassLabel(names=["eel", "cat"]), "note": Value("string")})
    return Dataset.from_dict(data, features=features)
whole = DatasetDict({"train": part(30, 8), "validation": part(10, 9), "test": part(12, 10)})
whole.save_to_disk(sys.argv[1] + "/dict")
whole["train"].save_to_disk(sys.argv[1] + "/one")
whole["train"].cast_column("animal", Value("int64")).save_to_disk(sys.argv[1] + "/numbers")
DatasetDict({"train": whole["train"], "extra": whole["test"]}).save_to_disk(sys.argv[1] + "/extra")
bad = [{"bytes": b"no image", "path": None}] * 25
Dataset.from_dict({"image": bad, "label": [0, 1] * 12 + [0]},
    features=Features({"image": Image(), "label": Value("int8")})).save_to_disk(sys.argv[1] + "/bad")
none = Dataset.from_dict({"picture": whole["test"]["picture"], "animal": [0, 1] * 5 + [-1, 1]},
    features=Features({"picture": Image(), "animal": ClassLabel(names=["eel", "cat"])}))
none.save_to_disk(sys.argv[1] + "/none")
two = whole["train"].add_column("other", whole["train"]["animal"], feature=ClassLabel(names=["a", "b"]))
two.save_to_disk(sys.argv[1] + "/two")
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders that the library saved in a process of its own: it stays out of the tests'."""
    root = tmp_path_factory.mktemp("кот #1")
    child = subprocess.run(
        [sys.executable, "-c", SAVE, root], env={**os.environ, "HF_HOME": str(root / "home")}, capture_output=True,
        check=False, text=True,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    return root


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)


def spec(path, **keys):
    return DataSpec("hf", path=str(path), **keys)


@pytest.mark.slow
def test_splits_classes_and_columns_are_found(saved, cache):
    facts = inspect(spec(saved / "dict"), cache)
    assert facts.sizes == {"train": 30, "val": 10, "test": 12}
    assert facts.classes == ("eel", "cat")
    assert (facts.image_size, facts.channels) == (None, 3)
    data = load(spec(saved / "dict"), cache)
    assert data.images.shapes() == {(8, 10, 3): 30, (9, 11, 3): 10, (10, 12, 3): 12}
    assert data.ids[30] == "val/00000"
    random = np.random.default_rng(5)
    np.testing.assert_array_equal(data.images.pixels(0), random.integers(0, 256, (8, 10, 3), dtype=np.uint8))
    images, labels, _ = prepared.arrays(
        prepare(spec(saved / "dict"), image_size=8, channels=3, resize="crop", cache=cache)
    )
    assert images.shape == (52, 8, 8, 3)
    assert labels[:4].tolist() == [0, 1, 0, 1]


@pytest.mark.slow
def test_the_library_stays_out_of_the_process(saved, cache):
    inspect(spec(saved / "dict"), cache)
    assert not {"datasets", "pyarrow.dataset"} & set(sys.modules)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "keys", "classes"),
    [
        ("one", {}, ("eel", "cat")),
        ("numbers", {"label_column": "animal"}, ("0", "1")),
        ("two", {"label_column": "other"}, ("a", "b")),
        ("two", {"label_column": "animal", "image_column": "picture"}, ("eel", "cat")),
    ],
)
def test_columns_may_be_named_and_splits_are_made(saved, cache, name, keys, classes):
    facts = inspect(spec(saved / name, **keys), cache)
    assert facts.classes == classes
    assert facts.sizes == {"train": 22, "val": 2, "test": 6}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("two", {}, r"2 columns of classes; its columns are picture, animal, note, other; name .* `label_column`"),
        ("numbers", {}, r"0 columns of classes; .*`label_column`"),
        ("one", {"image_column": "note"}, r"'note' is no column of images; .*`image_column`"),
        ("one", {"label_column": "x"}, r"'x' is no column of classes"),
        ("extra", {}, "has the splits train, extra; of train, validation and test one each"),
        ("none", {}, r"split train: no label of column 'animal' in 1 rows: 10"),
        ("bad", {}, r"(?s)split train: 25 of 25 images cannot be read.*row 0: not an image.*and 5 more"),
        ("home", {}, "no data set that `save_to_disk` wrote; correct `path`"),
    ],
)
def test_what_cannot_be_used_is_an_error_that_names_it(saved, cache, name, keys, message):
    (saved / "home").mkdir(exist_ok=True)
    with pytest.raises(DataError, match=message) as caught:
        inspect(spec(saved / name, **keys), cache)
    assert str(saved / name) in str(caught.value)


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_is_an_error_with_a_remedy(cache, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=r"(?s)nobody/nothing: cannot be had from the hub: .*save_to_disk"):
        inspect(DataSpec("hf", name="nobody/nothing"), cache)


@pytest.mark.slow
def test_without_the_library_the_error_says_what_to_install(saved, cache, monkeypatch, tmp_path):
    (tmp_path / "datasets.py").write_text("raise ImportError('hidden')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DataError, match=r"the library `datasets` is missing .hidden.: pip install .*\[hf\]"):
        inspect(spec(saved / "one"), cache)


@pytest.mark.slow
def test_a_changed_folder_is_read_again(saved, cache):
    first = inspect(spec(saved / "one"), cache)
    document = next((cache / "exports").glob("*/export.json"))
    before = document.stat().st_mtime_ns
    assert inspect(spec(saved / "one"), cache) == first
    assert document.stat().st_mtime_ns == before
    os.utime(saved / "one" / "state.json")
    assert inspect(spec(saved / "one"), cache) == first
    assert document.stat().st_mtime_ns != before


@pytest.mark.slow
def test_a_broken_export_is_noticed(saved, cache):
    inspect(spec(saved / "one"), cache)
    path = next((cache / "exports").glob("*/train_files.bin"))
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train_files\.bin: broken; delete .* and run the command again"):
        prepare(spec(saved / "one"), image_size=8, channels=3, resize="crop", cache=cache)
