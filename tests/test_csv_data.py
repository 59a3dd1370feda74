"""The source ``csv``: a table of image files."""

import os
from itertools import pairwise

import numpy as np
import pytest

from benchmark.data import prepared
from benchmark.data.datasets import DataError, inspect, load, prepare
from benchmark.run import DataSpec
from tests.vision_files import picture


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "кот #1"
    path.mkdir()
    return path


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def images(root, count=10, classes=("cat", "dog")):
    """Files, and the rows of their table without splits."""
    names = [f"{name}/{number}.png" for name in classes for number in range(count)]
    for each in names:
        picture(root / each)
    return [f"{each},{each.partition('/')[0]}" for each in names]


def table(root, *rows, header="path,label", name="images.csv"):
    path = root / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def spec(path, **keys):
    return DataSpec("csv", path=str(path), **keys)


def splits(path, cache, **keys):
    data = load(spec(path, **keys), cache)
    ends = np.cumsum([0, *data.sizes.values()])
    names = [[data.ids[index] for index in data.order[a:b]] for a, b in pairwise(ends)]
    return dict(zip(data.sizes, names, strict=True))


def test_splits_are_stratified_where_the_table_has_none(root, cache):
    facts = inspect(spec(table(root, *images(root))), cache)
    assert facts.sizes == {"train": 14, "val": 2, "test": 4}
    assert facts.classes == ("cat", "dog")


def test_splits_of_the_table_are_kept(root, cache):
    parts = ["Training", "valid", "TEST"] + ["train"] * 7
    rows = [f"{row},{parts[index % 10]}" for index, row in enumerate(images(root))]
    found = splits(table(root, *rows, header="path,label,split"), cache)
    assert found["val"] == ["cat/1.png", "dog/1.png"]
    assert found["test"] == ["cat/2.png", "dog/2.png"]
    assert len(found["train"]) == 16


def test_a_table_is_the_same_data_as_the_folder_that_it_lists(root, cache):
    rows = images(root)
    folder = inspect(DataSpec("folder", path=str(root)), cache)
    assert inspect(spec(table(root, *rows)), cache) == folder


def test_a_row_order_is_no_part_of_the_data(root, cache):
    rows = images(root)
    first, second = table(root, *rows), table(root, *reversed(rows), name="other.csv")
    assert inspect(spec(first), cache) == inspect(spec(second), cache)


def test_images_are_those_of_their_rows(root, cache):
    path = table(root, *images(root))
    found, labels, ids = prepared.arrays(prepare(spec(path), image_size=8, channels=3, resize="crop", cache=cache))
    assert found.shape == (20, 8, 8, 3)
    assert [each.partition("/")[0] for each in ids] == [("cat", "dog")[label] for label in labels]


@pytest.mark.parametrize(
    ("header", "delimiter", "keys"),
    [
        ("filename{}class", "\t", {}),
        ("image{}target", ";", {}),
        ("bild{}art", ",", {"image_column": "bild", "label_column": "art"}),
        ("\ufeffpath{}label", ",", {}),
        (" path {} label ", ",", {}),
    ],
)
def test_columns_and_delimiters_go_by_several_names(root, cache, header, delimiter, keys):
    rows = [row.replace(",", delimiter) for row in images(root)]
    path = table(root, *rows, header=header.format(delimiter), name="images.tsv")
    assert inspect(spec(path, **keys), cache).sizes["test"] == 4


def test_a_split_column_may_be_named_and_others_are_passed_over(root, cache):
    rows = [f'"a, ""b""",{row},{"test" if index % 3 == 0 else "train"}' for index, row in enumerate(images(root))]
    path = table(root, *rows, header="note,path,label,part")
    assert inspect(spec(path, split_column="part"), cache).sizes["test"] == 7


def test_numbers_are_classes_in_their_order(root, cache):
    rows = [f"{row.partition(',')[0]},{index % 11}" for index, row in enumerate(images(root, count=22))]
    assert inspect(spec(table(root, *rows)), cache).classes == tuple(map(str, range(11)))


def test_absolute_paths_may_lie_anywhere(root, cache, tmp_path):
    rows = [f"{tmp_path / 'elsewhere' / row}" for row in images(tmp_path / "elsewhere")]
    path = table(root, *rows)
    facts = inspect(spec(path), cache)
    assert inspect(spec(path), cache) == facts
    assert sum(facts.sizes.values()) == 20


def test_every_row_that_cannot_be_used_is_told_with_its_line(root, cache, tmp_path):
    picture(tmp_path / "outside.png")
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    (root / "broken.png").symlink_to(root / "nowhere.png")
    (root / "circle.png").symlink_to(root / "circle.png")
    os.mkfifo(root / "pipe.png")
    rows = [
        *(f"{row},train" for row in images(root, count=2)),  # lines 2 to 5
        "cat/9.png,cat,train",
        "../outside.png,cat,train",
        "cat/../../outside.png,cat,train",
        "link.png,cat,train",
        "broken.png,cat,train",
        "circle.png,cat,train",
        "pipe.png,cat,train",
        "cat,cat,train",
        ",cat,train",
        "cat/0.png,,train",
        "cat/1.png,cat,holdout",
        "cat/0.png,cat",
        "./cat/0.png,cat,train",
        "dog/1.png,dog,",
        '"dog/0\x07.png",dog,train',
    ]
    with pytest.raises(DataError) as caught:
        inspect(spec(table(root, *rows, header="path,label,split")), cache)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{root / 'images.csv'}: 16 rows cannot be used; correct or remove them:"
    assert sorted(line.strip() for line in lines[1:]) == sorted(
        [
            "line 6: 'cat/9.png': No such file or directory",
            "line 7: '../outside.png' leads out of the table's directory; write it as an absolute path if it is meant",
            "line 8: 'cat/../../outside.png' leads out of the table's directory; "
            "write it as an absolute path if it is meant",
            "line 9: 'link.png' is a link out of the table's directory; write it as an absolute path if it is meant",
            "line 10: 'broken.png': No such file or directory",
            "line 11: 'circle.png': Too many levels of symbolic links",
            "line 12: 'pipe.png' is no file",
            "line 13: 'cat' is no file",
            "line 14: has no path",
            "line 15: has no label",
            "line 16: unknown split 'holdout'; known are train, val and test",
            "line 17: 2 fields instead of 3",
            "line 18: './cat/0.png' stands in line 2 already",
            "line 19: 'dog/1.png' stands in line 5 already",
            "line 19: has no split, as other rows have",
            "line 20: the path has a control character",
        ]
    )


def test_of_many_bad_rows_twenty_are_shown(root, cache):
    path = table(root, *(f"{number}.png,cat" for number in range(500)))
    with pytest.raises(DataError, match="500 rows cannot be used") as caught:
        inspect(spec(path), cache)
    lines = str(caught.value).splitlines()
    assert len(lines) == 22
    assert lines[-1].strip() == "and 480 more"


def test_links_and_dots_within_the_directory_are_followed(root, cache):
    rows = images(root)
    (root / "other").symlink_to(root / "cat")
    picture(root / "bird.png")
    path = table(root, *rows, "other/../bird.png,dog")
    assert sum(inspect(spec(path), cache).sizes.values()) == 21


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: no column called path, image, file or filename; its columns are "),
        (b"path,label\n", "no rows below its header"),
        (b"path,species\n", "line 1: no column called label, class or target; its columns are 'path', 'species'; name"),
        (b"path,path\n", "line 1: two columns have the same name"),
        (b'path,label\na.png,"cat\n', "unexpected end of data"),
        (b"path,label\na.png,c\xff\n", "line 2: not UTF-8"),
        (b"path,label\n" + b"a" * 200_000 + b",cat\n", "line 2: field larger than field limit"),
        (b"path,label\n\x00,cat\n", "line 2: "),
    ],
)
def test_a_table_that_cannot_be_read_says_where(root, cache, content, message):
    (root / "images.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        inspect(spec(root / "images.csv"), cache)
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["image_column", "label_column", "split_column"])
def test_a_column_that_is_not_there_is_named_with_its_key(root, cache, key):
    with pytest.raises(DataError, match=rf"no column 'x'; its columns are 'path', 'label'; name one with `{key}`"):
        inspect(spec(table(root, *images(root)), **{key: "x"}), cache)


def test_a_missing_table_is_an_error(root, cache):
    with pytest.raises(DataError, match=r"images\.csv: cannot be read: No such file or directory; correct `path`"):
        inspect(spec(root / "images.csv"), cache)


def test_a_class_that_is_only_tested_is_an_error(root, cache):
    rows = [f"{row},{'test' if row.endswith('dog') else 'train'}" for row in images(root)]
    with pytest.raises(DataError, match=r"classes without training images: 'dog' \(test\)"):
        inspect(spec(table(root, *rows, header="path,label,split")), cache)


def test_equal_images_in_two_splits_are_refused_unless_allowed(root, cache):
    rows = [f"{row},{'test' if index % 5 == 0 else 'train'}" for index, row in enumerate(images(root))]
    (root / "cat" / "0.png").write_bytes((root / "cat" / "1.png").read_bytes())
    path = table(root, *rows, header="path,label,split")
    with pytest.raises(DataError, match=r"1 image stands in more than one split"):
        inspect(spec(path), cache)
    assert inspect(spec(path, duplicates="allow"), cache).sizes["test"] == 4


def test_an_unreadable_image_is_named(root, cache):
    path = table(root, *images(root))
    (root / "cat" / "3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 20 images cannot be read.*\n.*cat/3\.png: not an image"):
        inspect(spec(path), cache)
