import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.embedded import FASHION_MINI, FASHION_MINI_CLASSES
from benchmark.data.embedded.make_fashion_mini import arrays

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
needs_debian = pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs the Debian package dataset-fashion-mnist")


def shipped():
    with np.load(FASHION_MINI, allow_pickle=False) as file:
        return dict(file)


def test_shipped_file_is_small_enough_to_ship():
    assert FASHION_MINI.stat().st_size <= 5_000_000


@pytest.mark.parametrize(("part", "each", "highest"), [("train", 600, 59_999), ("test", 200, 9_999)])
def test_every_class_has_the_same_number_of_images_in_original_order(part, each, highest):
    content = shipped()
    labels, indices = content[f"{part}_labels"], content[f"{part}_indices"].astype(int)
    assert np.bincount(labels).tolist() == [each] * len(FASHION_MINI_CLASSES)
    assert content[f"{part}_images"].shape == (10 * each, 28, 28)
    assert content[f"{part}_images"].dtype == np.uint8
    assert (np.diff(indices) > 0).all()
    assert indices[-1] <= highest


@needs_debian
def test_remaking_it_from_the_original_files_gives_the_same_arrays():
    made, content = arrays(DEBIAN), shipped()
    assert made.keys() == content.keys()
    for name, array in made.items():
        assert array.dtype == content[name].dtype
        np.testing.assert_array_equal(array, content[name])


@needs_debian
def test_the_script_makes_the_same_bytes_twice(tmp_path):
    script = FASHION_MINI.with_name("make_fashion_mini.py")
    outputs = [tmp_path / "кот #1.npz", tmp_path / "b.npz"]
    for output in outputs:
        subprocess.run([sys.executable, str(script), str(DEBIAN), str(output)], check=True)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_a_file_that_is_not_idx_is_refused(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="not an idx file"):
        arrays(tmp_path)


def test_licence_and_provenance_are_beside_it():
    assert "Zalando SE" in FASHION_MINI.with_name("LICENSE.fashion-mnist").read_text(encoding="utf-8")
    assert "SHA-256" in FASHION_MINI.with_name("fashion-mini.md").read_text(encoding="utf-8")
