import io
import os
import shutil
import sqlite3
import subprocess
import sys
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.data import firstlook, folder, prepared
from benchmark.data.datasets import DataError, Wanted, inspect, prepare
from benchmark.data.images import ImageError, decode, fit
from benchmark.run import DataSpec


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "кот #1" / "photos"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def save(path, colour=None, size=(12, 10), mode="RGB", **options):
    """An image of one colour, by default another one for each path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = (200, 30, zlib.crc32(os.fsencode(path)) % 256) if colour is None else colour
    Image.new(mode, size, colour).save(path, **options)
    return path


def fill(root, count=4, classes=("cat", "dog"), start=0):
    for number, name in enumerate(classes):
        for index in range(start, start + count):
            colour = (40 * index % 256, 100 * number, sum(root.name.encode()) % 256)
            save(root / name / f"{index}.png", colour=colour)


def spec(root, **keys):
    return DataSpec("folder", path=str(root), **keys)


def made(root, cache, size=8, channels=3, resize="crop", **keys):
    directory = prepare(spec(root, **keys), image_size=size, channels=channels, resize=resize, cache=cache)
    return prepared.arrays(directory)


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# --- one file -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "expected"),
    [
        ("1", 1, "PNG", [255]),
        ("L", 77, "PNG", [77]),
        ("L", 77, "BMP", [77]),
        ("L", 77, "TIFF", [77]),
        ("LA", (77, 255), "PNG", [77]),
        ("LA", (77, 0), "PNG", [255]),
        ("I;16", 65535, "PNG", [255]),
        ("I;16", 257, "PNG", [1]),
        ("I;16", 32768, "TIFF", [128]),
        ("I", 65535, "TIFF", [255]),
        ("RGB", (10, 20, 30), "PNG", [10, 20, 30]),
        ("RGB", (10, 20, 30), "BMP", [10, 20, 30]),
        ("RGB", (20, 20, 20), "PNG", [20]),
        ("RGBA", (10, 20, 30, 255), "PNG", [10, 20, 30]),
        ("RGBA", (10, 20, 30, 0), "PNG", [255]),
        ("RGBA", (0, 0, 255, 51), "PNG", [204, 204, 255]),
        ("CMYK", (0, 255, 255, 0), "TIFF", [255, 0, 0]),
        ("CMYK", (0, 0, 0, 0), "JPEG", [255]),
    ],
)
def test_every_mode_becomes_eight_bits(mode, colour, kind, expected):
    pixels = decode(encode(Image.new(mode, (5, 4), colour), kind))
    assert pixels.shape == (4, 5, len(expected))
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"lossless": True}), ("GIF", {})])
def test_every_kind_of_file_is_read(kind, options):
    pixels = decode(encode(Image.new("RGB", (16, 8), (200, 30, 60)), kind, **options))
    assert pixels.shape == (8, 16, 3)
    assert np.abs(pixels.astype(int) - [200, 30, 60]).max() <= 6


def test_palette_images_are_shown_in_their_colours():
    image = Image.new("RGB", (4, 4), (9, 200, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    np.testing.assert_array_equal(decode(encode(image))[0, 0], [9, 200, 30])
    image.info["transparency"] = image.getpixel((0, 0))
    assert decode(encode(image, transparency=image.info["transparency"])).tolist() == [[[255]] * 4] * 4


def test_of_several_frames_the_first_is_taken():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    pixels = decode(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(pixels[0, 0], [255, 0, 0])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = Image.new("RGB", (6, 4), "black")
    upright.putpixel((0, 0), (255, 255, 255))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(encode(stored, exif=exif))
    assert pixels.shape == (4, 6, 1)
    assert pixels[0, 0, 0] == 255
    assert pixels.sum() == 255


@pytest.mark.parametrize("length", [0, 1, 30, 200])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_a_truncated_file_is_refused(kind, length):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), kind)
    with pytest.raises(ImageError):
        decode(data[:length])


@pytest.mark.parametrize(("mode", "value"), [("F", 0.5), ("I", 70000), ("I", -1)])
def test_pixels_of_unknown_range_are_refused(mode, value):
    with pytest.raises(ImageError, match="no known range"):
        decode(encode(Image.new(mode, (3, 3), value), "TIFF"))


def stripes(height, width):
    """Grey images whose columns and rows can be told apart."""
    return (np.arange(width)[None, :] * 10 + np.arange(height)[:, None]).astype(np.uint8)[:, :, None]


def test_crop_takes_the_central_square():
    wide = stripes(4, 10)
    np.testing.assert_array_equal(fit(wide, 4, 1, "crop"), wide[:, 3:7])
    tall = stripes(10, 4)
    np.testing.assert_array_equal(fit(tall, 4, 1, "auto"), tall[3:7])


def test_pad_keeps_the_whole_image_on_black():
    padded = fit(np.full((4, 8, 3), 90, np.uint8), 8, 3, "pad")
    assert (padded[2:6] == 90).all()
    assert (padded[[0, 1, 6, 7]] == 0).all()
    assert fit(np.full((1, 1000, 1), 90, np.uint8), 8, 1, "pad").max() == 90


def test_stretch_uses_every_column():
    image = np.zeros((4, 8, 1), np.uint8)
    image[:, 4:] = 200
    np.testing.assert_array_equal(fit(image, 4, 1, "stretch")[0, :, 0] > 100, [False, False, True, True])


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad", "auto"])
@pytest.mark.parametrize(("shape", "size"), [((8, 8, 1), 8), ((1, 1, 3), 7), ((64, 48, 3), 9), ((5, 9, 1), 32)])
def test_every_policy_gives_the_size_asked_for(shape, size, resize):
    for channels in (1, 3):
        pixels = fit(np.full(shape, 50, np.uint8), size, channels, resize)
        assert pixels.shape == (size, size, channels)
        assert pixels.dtype == np.uint8


def test_making_an_image_smaller_averages():
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[:, :, None]
    assert np.abs(fit(checks, 8, 1, "crop").astype(int) - 127).max() <= 3


# --- the folder ---------------------------------------------------------------------------------------------------


def test_class_directories_give_classes_and_three_splits(root, cache):
    fill(root, count=10, classes=("zebra", "ape"))
    facts = inspect(spec(root), cache)
    assert facts.classes == ("ape", "zebra")
    assert facts.sizes == {"train": 14, "val": 2, "test": 4}
    assert (facts.channels, facts.image_size) == (3, None)
    images, labels, ids = made(root, cache)
    for image, label, name in zip(images, labels, ids, strict=True):
        assert name.startswith(("ape/", "zebra/")[label])
        np.testing.assert_array_equal(image[0, 0, :2], [40 * int(name.split("/")[1][:-4]) % 256, 100 * (1 - label)])


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_own_splits_are_kept(root, cache, val):
    for number, part in enumerate(("train", val, "test")):
        fill(root / part, count=3 - number)
    assert inspect(spec(root), cache).sizes == {"train": 6, "val": 4, "test": 2}
    _, _, ids = made(root, cache)
    assert [each.split("/")[0] for each in ids] == ["train"] * 6 + [val] * 4 + ["test"] * 2


def test_a_missing_validation_split_is_taken_from_training_only(root, cache):
    fill(root / "train", count=5)
    fill(root / "test", count=3)
    assert inspect(spec(root), cache).sizes == {"train": 8, "val": 2, "test": 6}


def test_a_class_may_be_called_train(root, cache):
    fill(root, count=5, classes=("train", "bus"))
    assert inspect(spec(root), cache).classes == ("bus", "train")


def test_hidden_files_and_other_files_are_passed_over_and_depth_does_not_matter(root, cache):
    fill(root, count=3)
    save(root / "cat" / "more" / "deep.JPG")
    save(root / "cat" / ".hidden.png")
    save(root / ".cache" / "x.png")
    (root / "cat" / "notes.txt").write_text("no image")
    (root / "readme.md").write_text("no image")
    facts = inspect(spec(root), cache)
    assert facts.classes == ("cat", "dog")
    assert sum(facts.sizes.values()) == 7


def test_grey_images_in_any_mode_make_a_grey_data_set(root, cache):
    for name in ("a", "b"):
        for mode, colour in {"L": 1, "RGB": (1, 1, 1), "1": 1, "P": 1, "RGBA": (1, 1, 1, 9), "I;16": 900}.items():
            save(root / name / f"{mode}.png", colour=colour, mode=mode, size=(9, 9))
    facts = inspect(spec(root, duplicates="allow"), cache)
    assert (facts.channels, facts.image_size) == (1, 9)
    save(root / "a" / "colour.png")
    assert inspect(spec(root, duplicates="allow"), cache).channels == 3


def test_class_names_are_in_composed_form(root, cache):
    fill(root, classes=(unicodedata.normalize("NFD", "é"), "z"))
    assert inspect(spec(root), cache).classes == ("z", unicodedata.normalize("NFC", "é"))
    fill(root, classes=(unicodedata.normalize("NFC", "é"),))
    with pytest.raises(DataError, match="two directories are called 'é'"):
        inspect(spec(root), cache)


def test_every_unreadable_file_is_named(root, cache):
    fill(root)
    broken = [root / "cat" / "broken.png", root / "dog" / "empty.jpg", root / "dog" / "cut.png"]
    broken[0].write_text("not an image")
    broken[1].write_bytes(b"")
    broken[2].write_bytes((root / "dog" / "0.png").read_bytes()[:45])
    link = root / "cat" / "gone.png"
    link.symlink_to(root / "nowhere.png")
    with pytest.raises(DataError, match="4 of 12 images cannot be read") as caught:
        inspect(spec(root), cache)
    assert all(str(path) in str(caught.value) for path in [*broken, link])


def test_a_decompression_bomb_is_refused_not_warned_of(root, cache):
    fill(root)
    save(root / "cat" / "bomb.png", colour=0, mode="1", size=(10_000, 9_500))
    with pytest.raises(DataError, match=r"bomb.png: .*more .*pixels|bomb.png: has more pixels"):
        inspect(spec(root), cache)


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (lambda root: shutil.rmtree(root), "no such directory"),
        (lambda root: None, "no images found"),
        (lambda root: fill(root, classes=("only",)), "one class only"),
        (lambda root: (fill(root), (root / "empty").mkdir()), "empty: no images found in this class"),
        (lambda root: (fill(root), save(root / "loose.png")), "in no class directory: loose.png"),
        (lambda root: (fill(root), (root / "cat" / "x.heic").touch()), "not read: x.heic"),
        (lambda root: fill(root, count=1), r"too few training images for a stratified test.*'cat' \(1\)"),
        (lambda root: fill(root, count=2), r"too few training images for a stratified val"),
        (lambda root: fill(root / "test"), "no class directories in train/"),
        (lambda root: [save(root / part / "1.png") for part in ("train", "test")], "no class directories in train/"),
        (lambda root: (fill(root / "train"), fill(root / "extra")), "not extra"),
        (lambda root: (fill(root / "train"), fill(root / "val"), fill(root / "valid")), "several of val/"),
        (lambda root: (fill(root / "train"), (root / "test").mkdir()), "test: no images found"),
        (lambda root: (fill(root / "train"), fill(root / "test", classes=("bird",))), r"'bird' \(test\)"),
        (lambda root: (fill(root), (root / "cat" / "loop").symlink_to(root / "cat")), "leads to a directory above"),
    ],
)
def test_a_folder_that_breaks_a_rule_is_an_error_that_says_which(root, cache, arrange, message):
    arrange(root)
    with pytest.raises(DataError, match=message) as caught:
        inspect(spec(root), cache)
    assert str(root) in str(caught.value)


def test_a_file_instead_of_a_folder_is_an_error(root, cache):
    with pytest.raises(DataError, match="not a directory"):
        inspect(spec(save(root / "x.png")), cache)


def test_a_copy_elsewhere_is_the_same_data_and_any_change_is_not(root, tmp_path, cache):
    fill(root)
    digest = inspect(spec(root), cache).digest
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    assert inspect(spec(copy), cache).digest == digest
    save(copy / "cat" / "0.png", colour=(1, 2, 3))
    assert inspect(spec(copy), cache).digest != digest
    (root / "dog").rename(root / "wolf")
    assert inspect(spec(root), cache).digest != digest


def test_an_unchanged_file_is_not_read_again_and_a_changed_one_is(root, cache):
    fill(root)
    first = inspect(spec(root), cache)
    mark(cache)
    marked = inspect(spec(root), cache)
    assert marked.digest != first.digest, "the table's digests must be what the second inspection uses"
    for path in root.rglob("*.png"):
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    assert inspect(spec(root), cache) == first


def mark(cache):
    """Gives every known file another digest, which shows whether files or the table were read."""
    with sqlite3.connect(cache / "files.db") as table:
        table.execute("UPDATE files SET sha256 = hex(path)")
    table.close()


def test_a_file_that_changes_after_inspection_is_not_trained_on(root, cache):
    fill(root)
    inspect(spec(root), cache)
    mark(cache)
    with pytest.raises(DataError, match="changed while it was being read"):
        made(root, cache)


def test_a_broken_table_is_an_error_with_a_remedy(root, cache):
    fill(root)
    cache.mkdir()
    (cache / "files.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match=r"files.db: broken.*delete it"):
        inspect(spec(root), cache)


def test_a_cache_that_cannot_be_made_is_an_error_with_a_remedy(root, tmp_path):
    fill(root)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="TORCH_IMAGE_BENCHMARK_CACHE"):
        inspect(spec(root), tmp_path / "file")


def test_an_added_image_moves_few_others(root, cache):
    fill(root, count=40)
    _, _, before = made(root, cache)
    save(root / "cat" / "another.png")
    _, _, after = made(root, cache)
    assert len(set(before[-16:]) - set(after[-16:])) <= 1


def test_several_processes_may_inspect_the_same_folder_at_once(root, cache):
    fill(root, count=50)
    code = """
import sys; from pathlib import Path
from benchmark.data.datasets import inspect
from benchmark.run import DataSpec
print(inspect(DataSpec("folder", path=sys.argv[1]), Path(sys.argv[2])).digest)
"""
    command = [sys.executable, "-c", code, str(root), str(cache)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(4)]
    answers = {each.communicate(timeout=120)[0] for each in started}
    assert [each.returncode for each in started] == [0] * 4
    assert answers == {inspect(spec(root), cache).digest.encode() + b"\n"}


def test_an_image_in_two_splits_is_refused_and_named_unless_it_is_allowed(root, cache):
    fill(root / "train")
    fill(root / "test")
    shutil.copy(root / "train" / "cat" / "2.png", root / "test" / "cat" / "copy.png")
    with pytest.raises(DataError) as caught:
        inspect(spec(root, val_fraction=0.5), cache)
    found = str(caught.value)
    assert found.startswith(f"{root}: 1 image stands in more than one split")
    assert "duplicates: allow" in found
    assert found.endswith(": train/cat/2.png = test: test/cat/copy.png")
    assert inspect(spec(root, val_fraction=0.5, duplicates="allow"), cache).sizes["test"] == 9


def test_equal_images_stay_together_in_splits_that_are_made(root, cache):
    fill(root, count=10)
    for name in ("cat", "dog"):
        for index in range(10):
            shutil.copy(root / name / f"{index}.png", root / name / f"copy of {index}.png")
    for seed in range(10):
        assert sum(inspect(spec(root, split_seed=seed), cache).sizes.values()) == 40
        assert inspect(spec(root, split_seed=seed), cache).sizes["test"] == 8


def test_a_class_of_one_image_in_copies_cannot_be_split(root, cache):
    fill(root, count=4)
    for path in (root / "cat").iterdir():
        path.unlink()
    for index in range(4):
        save(root / "cat" / f"{index}.png", colour=(1, 2, 3))
    with pytest.raises(DataError, match=r"too few training images .*copies count once.*'cat' \(1\)"):
        inspect(spec(root), cache)


WANTED = Wanted(None, None, "crop")
"""As most experiments: the images decide."""


def squares(root, count, mode="RGB"):
    """Two classes of images of 10 pixels, of a colour each."""
    for number, name in enumerate(("cat", "dog")):
        for index in range(count):
            colour = (40 * index % 256, 100 * number, index) if mode == "RGB" else 2 * index + number
            save(root / name / f"{index}.png", colour, (10, 10), mode)


def kept(cache):
    """The files of the cache of decoded images."""
    return {path.relative_to(cache): path.read_bytes() for path in (cache / "data").rglob("*") if path.is_file()}


@pytest.mark.parametrize("wanted", [WANTED, Wanted(12, 1, "pad"), Wanted(6, 3, "stretch", "bicubic", 0.9)])
def test_images_that_will_be_wanted_are_decoded_once(wanted, root, tmp_path, monkeypatch, cache):
    squares(root, 20)
    facts = inspect(spec(root), tmp_path / "other")
    form = {"image_size": wanted.size or facts.image_size, "channels": wanted.channels or facts.channels}
    form |= {"resize": wanted.resize, "interpolation": wanted.interpolation, "crop_pct": wanted.crop_pct}
    prepare(spec(root), **form, cache=tmp_path / "other")
    decoded = []
    for module in (folder, firstlook):
        monkeypatch.setattr(module, "decode", lambda data: decoded.append(1) or decode(data))
    assert inspect(spec(root), cache, wanted) == facts
    prepare(spec(root), **form, cache=cache)
    assert len(decoded) <= 40 + firstlook.SAMPLES
    assert kept(cache) == kept(tmp_path / "other") != {}


def test_a_form_that_a_few_images_do_not_tell_is_not_kept(root, cache):
    squares(root, 40, "L")
    save(root / "dog" / "17.png", (200, 10, 10), (10, 10))
    assert inspect(spec(root), cache, WANTED).channels == 3
    assert kept(cache) == {}
    assert made(root, cache)[0].shape[3] == 3


def test_all_images_that_cannot_be_read_are_named_at_once_and_nothing_is_kept_of_the_others(root, cache):
    squares(root, 40)
    for name in ("13.png", "29.png"):
        (root / "cat" / name).write_bytes((root / "cat" / name).read_bytes()[:40])
    with pytest.raises(DataError, match=r"2 of 80 images cannot be read(.|\n)*13\.png(.|\n)*29\.png"):
        inspect(spec(root), cache, WANTED)
    assert kept(cache) == {}


@pytest.mark.parametrize("wanted", [None, WANTED])
def test_files_that_cannot_be_opened_are_named_and_not_taken_for_equal_images(wanted, root, cache):
    for part in ("train", "test"):
        squares(root / part, 4)
    for path in (root / "test").rglob("*.png"):
        path.write_bytes(path.read_bytes() + b"another")
    for part in ("train", "test"):
        (root / part / "cat" / "gone.png").symlink_to("/nowhere/at/all.png")
    with pytest.raises(DataError, match=r"2 of 18 images cannot be read(.|\n)*gone\.png(.|\n)*gone\.png"):
        inspect(spec(root), cache, wanted)
