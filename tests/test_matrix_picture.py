"""The picture of a run's confusion matrix: legible at any size, the same for the same numbers, and cheap."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.figure import Figure
from PIL import Image

from reports.canvas import width
from reports.matrix_picture import confusion_png

NAMES = tuple("abcdefghij")


def confusion(classes: int, seed: int = 0) -> npt.NDArray[np.int64]:
    random = np.random.default_rng(seed)
    return random.integers(0, 3, (classes, classes)) + 40 * np.eye(classes, dtype=np.int64)


def picture(content: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def has_a_white_border(image: npt.NDArray[np.uint8]) -> bool:
    """Nothing that is drawn is cut."""
    return all((edge == 255).all() for edge in (image[0], image[-1], image[:, 0], image[:, -1]))


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5, 10, 12, 13, 20, 21, 60, 120, 121, 1000])
@pytest.mark.parametrize("name", ["c{}", "a class with a long name {}"])
def test_a_matrix_of_any_size_fits_its_picture(classes: int, name: str) -> None:
    content = confusion_png(confusion(classes), [name.format(i) for i in range(classes)], "resnet18, seed 0")
    image = picture(content)
    assert max(image.shape) < 3000
    assert has_a_white_border(image)
    assert len(content) < 1_000_000


@pytest.mark.parametrize("title", ["", "a title that is longer than the matrix is wide, " * 3, "x" * 80])
def test_a_title_of_any_length_fits(title: str) -> None:
    assert has_a_white_border(picture(confusion_png([[3, 1], [0, 7]], ["cat", "dog"], title)))


@pytest.mark.parametrize("name", ["$x$", "\\frac", "鳥", "кот", "a\nb", "", "x" * 200, "<b>&", "😀", "%s {0}"])
def test_any_class_name_is_drawn(name: str) -> None:
    assert confusion_png([[3, 1], [0, 7]], [name, "dog"], name).startswith(b"\x89PNG")


def test_the_same_numbers_give_the_same_bytes() -> None:
    one, two = (confusion_png(confusion(10), NAMES, "resnet18") for _ in range(2))
    assert one == two


def test_pictures_of_the_same_classes_have_the_same_size_to_be_compared() -> None:
    pictures = [picture(confusion_png(confusion(10, seed), NAMES, f"resnet18, seed {seed}")) for seed in range(2)]
    assert pictures[0].shape == pictures[1].shape
    assert (pictures[0] != pictures[1]).any()


def test_a_lone_confusion_among_a_thousand_classes_is_seen() -> None:
    names, diagonal = [str(i) for i in range(1000)], 100 * np.eye(1000, dtype=np.int64)
    counts = diagonal.copy()
    counts[100, 900] = 100
    one, other = (picture(confusion_png(each, names, "vit")) for each in (diagonal, counts))
    cells = slice(None), slice(0, round(0.72 * one.shape[1]))  # without the list at the side
    changed = (one[cells] != other[cells]).any(axis=2)
    assert changed[100:].sum() >= 4


def test_what_is_no_confusion_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="1 classes, but 2 names"):
        confusion_png([[1]], ["a", "b"], "x")
    with pytest.raises(ValueError, match="square"):
        confusion_png([[1, 2]], ["a"], "x")


def test_a_bold_line_is_wider() -> None:
    assert width("resnet18", 9, bold=True) > width("resnet18", 9) > 0


def test_a_picture_costs_less_than_half_of_matplotlib_s() -> None:
    counts = confusion(10)

    def ours() -> None:
        confusion_png(counts, NAMES, "resnet18, seed 0")

    def matplotlibs() -> None:
        figure = Figure()
        axes = figure.subplots()
        axes.imshow(counts)
        for (row, column), count in np.ndenumerate(counts):
            axes.text(column, row, str(count))
        figure.savefig(io.BytesIO(), format="png")

    def seconds(draw: Callable[[], None]) -> float:
        started = time.process_time()
        draw()
        return time.process_time() - started

    ours(), matplotlibs()  # fonts are opened once
    assert min(seconds(ours) for _ in range(5)) < min(seconds(matplotlibs) for _ in range(3)) / 2
