"""The source ``npz``: arrays in one file."""

import io
import resource
import zipfile

import numpy as np
import pytest

from benchmark.data import prepared
from benchmark.data.datasets import DataError, inspect, load, prepare
from benchmark.run import DataSpec

RANDOM = np.random.default_rng(3)


def noise(count, *shape):
    return RANDOM.integers(0, 256, (count, *shape), dtype=np.uint8)


def turns(count, classes=3):
    return np.arange(count) % classes


KERAS = {"x_train": noise(60, 8, 8), "y_train": turns(60), "x_test": noise(30, 8, 8), "y_test": turns(30)}


@pytest.fixture
def path(tmp_path):
    (tmp_path / "кот #1").mkdir()
    return tmp_path / "кот #1" / "images.npz"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def spec(path, **keys):
    return DataSpec("npz", path=str(path), **keys)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_images_and_labels_are_those_of_the_file(path, cache, save):
    save(path, **KERAS)
    assert inspect(spec(path), cache).sizes == {"train": 54, "val": 6, "test": 30}
    data = load(spec(path), cache)
    images = np.concatenate([KERAS["x_train"], KERAS["x_test"]])
    labels = np.concatenate([KERAS["y_train"], KERAS["y_test"]])
    for index in range(90):
        np.testing.assert_array_equal(data.images.pixels(index)[..., 0], images[index])
    np.testing.assert_array_equal(data.labels, labels)
    found, _, ids = prepared.arrays(prepare(spec(path), image_size=8, channels=1, resize="crop", cache=cache))
    np.testing.assert_array_equal(found[60:, ..., 0], KERAS["x_test"])
    assert ids[60] == "test/00000"


def test_a_validation_part_is_used(path, cache):
    np.savez(path, **KERAS, x_val=noise(12, 8, 8), y_val=turns(12))
    assert inspect(spec(path), cache).sizes == {"train": 60, "val": 12, "test": 30}


def test_the_names_of_medmnist_are_known(path, cache):
    parts = {"train": 60, "val": 12, "test": 30}
    arrays = {f"{part}_images": noise(count, 8, 8, 3) for part, count in parts.items()}
    arrays |= {f"{part}_labels": turns(count)[:, None].astype(np.uint8) for part, count in parts.items()}
    np.savez(path, **arrays)
    assert inspect(spec(path), cache).sizes == parts


@pytest.mark.parametrize("labels", [turns(60), np.array(["cat", "dog", "eel"])[turns(60)], turns(60)[:, None] + 4])
def test_images_and_labels_get_splits(path, cache, labels):
    np.savez(path, images=noise(60, 9, 7, 3), labels=labels)
    facts = inspect(spec(path), cache)
    assert facts.sizes == {"train": 42, "val": 6, "test": 12}
    assert facts.classes in (("0", "1", "2"), ("cat", "dog", "eel"), ("4", "5", "6"))
    assert facts.image_size is None


def test_a_split_of_each_image_is_kept_and_classes_are_named(path, cache):
    split = np.array(["train", "train", "val", "test"])[np.arange(60) // 15]
    np.savez(path, images=noise(60, 8, 8), labels=turns(60), split=split, classes=np.array(["c", "b", "a"]))
    facts = inspect(spec(path), cache)
    assert facts.sizes == {"train": 30, "val": 15, "test": 15}
    assert facts.classes == ("c", "b", "a")


def test_names_that_deceive_are_escaped_and_those_that_look_alike_refused(path, cache):
    """Splits come with the file, so that no name is left out."""
    given = {"images": noise(60, 8, 8), "labels": turns(60), "split": np.array(["train", "test"])[np.arange(60) // 30]}
    np.savez(path, **given, classes=np.array(["\u202egnp.exe", "\x1b[31mred", "e\u0301"]))
    assert inspect(spec(path), cache).classes == ("\\u202egnp.exe", "\\x1b[31mred", "\u00e9")
    np.savez(path, **given, classes=np.array(["e\u0301", "\u00e9", "b"]))
    with pytest.raises(DataError, match="two classes are both written 'é'"):
        inspect(spec(path), cache)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"x_train": noise(60, 8, 8) / 255},
            r"x_train has shape \(60, 8, 8\), of float64; images are uint8 \(n",
        ),
        ({"x_train": noise(60, 8)}, r"x_train has shape \(60, 8\), of uint8; images"),
        ({"x_train": noise(60, 3, 8, 8)}, r"x_train has shape \(60, 3, 8, 8\): channels come last"),
        ({"x_train": noise(59, 8, 8)}, "x_train has 59 images, but there are 60 labels"),
        ({"x_train": np.asfortranarray(noise(60, 8, 8))}, "x_train has shape .* in Fortran's order"),
        ({"x_test": noise(30, 9, 9)}, r"x_train and x_test have images of \(8, 8, 1\) and \(9"),
        ({"y_train": turns(60) / 2}, r"y_train has shape \(60,\), of float64; labels are whole numbers or text"),
        ({"y_train": np.eye(3, dtype=int)[turns(60)]}, r"y_train has shape \(60, 3\)"),
        ({"y_test": np.array(["a", "b", "c"])[turns(30)]}, "labels are text in one part and numbers in another"),
        ({"y_test": turns(30) + 7}, r"classes without training images: '7' \(test\)"),
        ({"classes": np.array(["a", "b"])}, "classes has 2 names, which do not fit"),
    ],
)
def test_arrays_of_another_kind_are_an_error_that_names_them(path, cache, change, message):
    np.savez(path, **{**KERAS, **change})
    with pytest.raises(DataError, match=message) as caught:
        inspect(spec(path), cache)
    assert str(path) in str(caught.value)


def test_a_missing_array_is_named_with_what_is_there(path, cache):
    np.savez(path, x_train=KERAS["x_train"], y_test=KERAS["y_test"])
    with pytest.raises(DataError, match=r"no array y_train, x_test; expected x_train and .* has x_train, y_test"):
        inspect(spec(path), cache)
    np.savez(path, pictures=KERAS["x_train"])
    with pytest.raises(DataError, match=r"no array images, labels; .*; it has pictures"):
        inspect(spec(path), cache)


def test_nothing_is_unpickled(path, cache):
    np.savez(path, **{**KERAS, "y_train": np.array([{"a": 1}] * 60, dtype=object)})
    with pytest.raises(DataError, match="y_train holds Python objects, which are not read"):
        inspect(spec(path), cache)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_an_error(path, cache, share):
    np.savez_compressed(path, **KERAS)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match=r"broken, or no file of numpy\.savez"):
        inspect(spec(path), cache)


def test_a_flipped_bit_is_noticed(path, cache):
    np.savez(path, **KERAS)
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="broken"):
        inspect(spec(path), cache)


def test_a_header_that_promises_more_than_there_is_is_refused(path, cache):
    with zipfile.ZipFile(path, "w") as file:
        for name, array in KERAS.items():
            content = io.BytesIO()
            np.save(content, array)
            file.writestr(f"{name}.npy", content.getvalue().replace(b"(60, 8, 8)", b"(99, 8, 8)"))
    with pytest.raises(DataError, match=r"x_train is cut off: its shape is \(99, 8, 8\)"):
        inspect(spec(path), cache)


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(path, cache):
    np.savez(path, **KERAS)
    first = inspect(spec(path), cache)
    document = next((cache / "exports").glob("*/export.json"))
    before = document.stat().st_mtime_ns
    assert inspect(spec(path), cache) == first
    assert document.stat().st_mtime_ns == before
    np.savez(path, **{**KERAS, "x_test": noise(30, 8, 8)})
    assert inspect(spec(path), cache).digest != first.digest


def test_copies_are_refused_between_splits_and_kept_together_in_made_ones(path, cache):
    np.savez(path, **{**KERAS, "x_test": KERAS["x_train"][:30]})
    with pytest.raises(DataError, match="30 images stand in more than one split"):
        inspect(spec(path), cache)
    inspect(spec(path, duplicates="allow"), cache)
    images = noise(60, 8, 8)
    images[:6] = images[0]
    labels = turns(60)
    labels[:6] = 0
    np.savez(path, images=images, labels=labels)
    inspect(spec(path), cache)


def test_a_missing_file_is_an_error(path, cache):
    with pytest.raises(DataError, match=r"images\.npz: no such file; correct `path`"):
        inspect(spec(path), cache)


def test_images_are_copied_in_pieces(path, cache):
    # 96 MB of images: the peak of the process may not grow by as much.
    np.savez_compressed(path, images=np.arange(96_000_000, dtype=np.uint8).reshape(1500, 160, 400), labels=turns(1500))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    from benchmark.data.npz import _export

    _export(spec(path), cache)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000
