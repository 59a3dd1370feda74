import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.data import arrays, prepared
from benchmark.data.datacache import cache_directory
from benchmark.data.datasets import DataError, inspect, prepare
from benchmark.data.embedded import FASHION_MINI
from benchmark.run import DataSpec

ROOT = Path(__file__).parents[1]
SMALL = DataSpec("synthetic", train_size=60, test_size=20, size=12, classes=3)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "кот #1" / "cache"


def python(code, *arguments, **environment):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    everything = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(command, env=everything, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def made(spec, cache, size=12, channels=1, resize="crop"):
    directory = prepare(spec, image_size=size, channels=channels, resize=resize, cache=cache)
    return directory, *(np.array(each) for each in prepared.arrays(directory))


def test_neither_torch_nor_scikit_learn_is_imported_for_fashion_mini(cache):
    code = """
import sys; from pathlib import Path
from benchmark.data.datasets import inspect, prepare
from benchmark.run import DataSpec
cache = Path(sys.argv[1])
inspect(DataSpec(), cache); prepare(DataSpec(), image_size=28, channels=1, resize="crop", cache=cache)
print(sorted({"torch", "torchvision", "sklearn", "scipy", "pandas", "mlflow"} & set(sys.modules)))
"""
    assert finish(python(code, cache)).strip() == "[]"


def test_fashion_mini_is_what_its_file_holds(cache):
    facts = inspect(DataSpec(), cache)
    assert (facts.sizes, facts.image_size, facts.channels) == ({"train": 5400, "val": 600, "test": 2000}, 28, 1)
    _, images, labels, ids = made(DataSpec(), cache, size=28)
    with np.load(FASHION_MINI) as file:
        np.testing.assert_array_equal(images[6000:, :, :, 0], file["test_images"])
        np.testing.assert_array_equal(labels[6000:], file["test_labels"])
        numbers = {f"train/{index:05d}": place for place, index in enumerate(file["train_indices"])}
        places = [numbers[each] for each in ids[:6000]]
        np.testing.assert_array_equal(images[:6000, :, :, 0], file["train_images"][places])
    assert sorted(places) == list(range(6000))


def test_splits_are_stratified_and_depend_on_their_seed_alone(cache):
    _, _, labels, ids = made(DataSpec(), cache, size=28)
    assert np.bincount(labels[5400:6000]).tolist() == [60] * 10
    _, _, _, same = made(DataSpec(), cache / "other", size=28)
    _, _, _, other = made(DataSpec(split_seed=1), cache, size=28)
    assert ids.tolist() == same.tolist()
    assert set(ids[5400:6000]) != set(other[5400:6000])
    assert ids[6000:].tolist() == other[6000:].tolist()


def test_digest_is_of_the_data_and_the_split(cache):
    digest = inspect(SMALL, cache).digest
    differing = [
        DataSpec("synthetic", train_size=60, test_size=20, size=12, classes=3, **change)
        for change in ({"data_seed": 1}, {"split_seed": 1}, {"val_fraction": 0.2}, {"planes": 3})
    ]
    digests = [inspect(each, cache).digest for each in differing]
    assert len({digest, *digests}) == 5
    assert inspect(SMALL, cache / "elsewhere").digest == digest


def test_synthetic_images_are_the_same_on_every_machine(cache):
    # A golden value: numpy's generator or the recipe has changed when this fails; then raise synthetic.VERSION.
    assert inspect(SMALL, cache).digest[:16] == "d2b08ebb505a316f"


def test_many_synthetic_images_are_the_same_made_into_the_cache(cache, monkeypatch):
    few = inspect(SMALL, cache)
    monkeypatch.setattr(arrays, "HELD_BYTES", 1000)
    assert inspect(SMALL, cache / "other") == few
    assert next((cache / "other" / "exports").glob("*/train_images.npy")).stat().st_size > 80 * 12 * 12


@pytest.mark.parametrize(("size", "planes", "classes"), [(1, 1, 2), (5, 4, 2), (28, 1, 10), (32, 3, 100)])
def test_synthetic_takes_any_form(cache, size, planes, classes):
    spec = DataSpec("synthetic", train_size=4 * classes, test_size=5, size=size, planes=planes, classes=classes)
    facts = inspect(spec, cache)
    assert (facts.image_size, facts.channels, len(facts.classes)) == (size, planes, classes)
    assert facts.sizes == {"train": 3 * classes, "val": classes, "test": 5}
    assert made(spec, cache, size, planes)[1].shape == (4 * classes + 5, size, size, planes)


def test_synthetic_classes_can_be_told_apart_but_not_always(cache):
    _, images, labels, _ = made(DataSpec("synthetic", train_size=1000, test_size=200, classes=4, size=12), cache)
    pixels = images.reshape(len(images), -1) / 255.0
    train, test = slice(0, 900), slice(1000, None)
    nearest = np.argmin(((pixels[test, None] - pixels[None, train]) ** 2).sum(-1), axis=1)
    accuracy = (labels[train][nearest] == labels[test]).mean()
    assert 0.45 < accuracy < 0.9


def test_digits_have_a_stratified_test_split_of_their_own(cache):
    facts = inspect(DataSpec("digits"), cache)
    assert (facts.image_size, facts.channels, sum(facts.sizes.values())) == (8, 1, 1797)
    assert facts.sizes["test"] == pytest.approx(0.2 * 1797, abs=5)
    _, images, labels, _ = made(DataSpec("digits"), cache, size=8)
    assert images.max() == 255
    assert set(labels[-facts.sizes["test"] :]) == set(range(10))


def test_too_few_images_of_a_class_are_an_error_that_names_it(cache):
    with pytest.raises(DataError, match=r"too few training images.*'class 1' \(1\), 'class 2' \(1\)"):
        inspect(DataSpec("synthetic", train_size=4, classes=3), cache)


def test_second_inspection_does_not_make_the_images_again(cache):
    first = inspect(SMALL, cache)
    kept = list((cache / "facts").glob("*.json"))
    document = json.loads(kept[0].read_text())
    kept[0].write_text(json.dumps({**document, "channels": 77}))
    assert inspect(SMALL, cache).channels == 77
    kept[0].write_text("{broken")
    assert inspect(SMALL, cache) == first


def test_mean_and_std_are_those_of_the_training_images(cache):
    directory, images, _, _ = made(DataSpec("synthetic", planes=3, size=9, train_size=300), cache, size=9, channels=3)
    header = prepared.read(directory)
    train = images[: header.sizes["train"]] / 255.0
    np.testing.assert_allclose(header.mean, train.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(header.std, train.std(axis=(0, 1, 2)), rtol=1e-12)


def test_channels_are_converted_both_ways(cache):
    rgb = DataSpec("synthetic", planes=3, size=12, train_size=40)
    grey = made(SMALL, cache)[1]
    np.testing.assert_array_equal(made(SMALL, cache, channels=3)[1], np.repeat(grey, 3, axis=3))
    colour = made(rgb, cache, channels=3)[1].astype(float)
    luma = colour @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(made(rgb, cache, channels=1)[1][..., 0], luma, atol=1)


def test_channels_that_cannot_be_converted_are_an_error(cache):
    spec = DataSpec("synthetic", planes=2, size=12, train_size=40)
    with pytest.raises(DataError, match=r"image train/0000.. *: 2 channels cannot be made 3"):
        made(spec, cache, channels=3)
    assert not list((cache / "data").iterdir())


def test_a_prepared_directory_is_made_once(cache):
    directory = made(SMALL, cache)[0]
    before = (directory / "images.npy").stat().st_mtime_ns
    assert made(SMALL, cache)[0] == directory
    assert (directory / "images.npy").stat().st_mtime_ns == before
    assert made(SMALL, cache, resize="auto")[0] == directory
    assert directory.name == f"{inspect(SMALL, cache).digest[:16]}-12-1-crop"


def _truncate(directory):
    with (directory / "images.npy").open("r+b") as file:
        file.truncate(200)


def _old_version(directory):
    document = json.loads((directory / "data.json").read_text())
    (directory / "data.json").write_text(json.dumps({**document, "schema_version": 0}))


def _other_digest(directory):
    document = json.loads((directory / "data.json").read_text())
    (directory / "data.json").write_text(json.dumps({**document, "digest": "0" * 64}))


@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        _old_version,
        _other_digest,
        lambda directory: (directory / "data.json").unlink(),
        lambda directory: (directory / "labels.npy").unlink(),
        lambda directory: (directory / "ids.npy").write_bytes(b""),
        lambda directory: (directory / "data.json").write_text("[]"),
    ],
)
def test_a_damaged_prepared_directory_is_made_again(cache, damage):
    directory, images, labels, _ = made(SMALL, cache)
    damage(directory)
    assert not prepared.is_whole(directory, inspect(SMALL, cache).digest)
    _, again, labels_again, _ = made(SMALL, cache)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, labels_again)
    assert [each.name for each in (cache / "data").iterdir()] == [directory.name]


def test_leftovers_of_a_process_that_died_are_removed(cache):
    directory = made(SMALL, cache)[0]
    leftover = directory.with_name(f".{directory.name}.999")
    leftover.mkdir()
    (directory / "data.json").unlink()
    made(SMALL, cache)
    assert not leftover.exists()


def test_two_processes_may_prepare_the_same_data_at_once(cache):
    code = """
import sys; from pathlib import Path
from benchmark.data.datasets import prepare
from benchmark.run import DataSpec
spec = DataSpec("synthetic", train_size=4000, size=32)
print(prepare(spec, image_size=48, channels=3, resize="pad", cache=Path(sys.argv[1])))
"""
    answers = [finish(each) for each in [python(code, cache) for _ in range(3)]]
    assert len(set(answers)) == 1
    assert [each.name for each in (cache / "data").iterdir()] == [Path(answers[0].strip()).name]
    prepared.arrays(Path(answers[0].strip()))


def test_a_cache_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    for call in (inspect, lambda spec, cache: made(spec, cache)):
        with pytest.raises(DataError, match="TORCH_IMAGE_BENCHMARK_CACHE"):
            call(SMALL, tmp_path / "file" / "cache")


def test_a_full_disk_is_an_error_with_a_remedy_and_leaves_nothing(cache):
    # A limit on file sizes is what a full disk looks like to the program: a write is refused with an OSError.
    code = """
import resource, signal, sys; from pathlib import Path
from benchmark.data.datasets import DataError, inspect, prepare
from benchmark.run import DataSpec
spec, cache = DataSpec("synthetic", train_size=500, size=32), Path(sys.argv[1])
inspect(spec, cache)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    prepare(spec, image_size=64, channels=3, resize="crop", cache=cache)
except DataError as error:
    print(error)
"""
    message = finish(python(code, cache))
    assert "free some space" in message
    assert "TORCH_IMAGE_BENCHMARK_CACHE" in message
    assert list((cache / "data").iterdir()) == []


def test_the_cache_lies_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_IMAGE_BENCHMARK_CACHE", str(tmp_path / "a"))
    assert cache_directory() == tmp_path / "a"
    monkeypatch.delenv("TORCH_IMAGE_BENCHMARK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert cache_directory() == tmp_path / "b" / "torch-image-benchmark"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache" / "torch-image-benchmark"
