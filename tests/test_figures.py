"""Figures: what they show, that it is legible, and that the same numbers give the same bytes."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from PIL import Image

from benchmark.records import Event
from reports.curves import average
from reports.figures import Point, confusion_figure, curves_figure, pareto_figure, png_bytes, svg_bytes
from reports.placing import Box, place_labels, spread
from reports.rates import hardest, row_rates
from reports.scatter import front
from reports.style import COLOURS, looks

MODELS = ("lenet5", "small/alexnet", "small/vgg11_bn", "resnet18", "googlenet", "small/densenet", "efficientnet_b0",
          "mobilenetv3_small_100", "small/vit")  # fmt: skip


def confusion(classes: int, seed: int = 0) -> npt.NDArray[np.int64]:
    random = np.random.default_rng(seed)
    return random.integers(0, 3, (classes, classes)) + 40 * np.eye(classes, dtype=np.int64)


def epochs(values: Sequence[float | None]) -> tuple[Event, ...]:
    return tuple(Event(i, i, float(i), {"val/accuracy": value}) for i, value in enumerate(values, 1))


def texts(figure: Figure) -> list[Text]:
    """Every text that is drawn."""
    figure.draw_without_rendering()
    found = [each for each in figure.findobj(Text) if isinstance(each, Text)]
    return [each for each in found if each.get_visible() and each.get_text()]


def overlaps(figure: Figure, shown: Sequence[Text]) -> list[tuple[str, str]]:
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [(text.get_text(), Text.get_window_extent(text, renderer).padded(-1)) for text in shown]
    return [(a, b) for (a, one), (b, two) in itertools.combinations(boxes, 2) if one.overlaps(two)]


def fits(figure: Figure) -> bool:
    """Nothing that is drawn is cut by the figure's border."""
    for each in figure.findobj(Annotation):
        each.set_in_layout(True)
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return bool(drawn.x0 >= 0 and drawn.y0 >= 0 and drawn.x1 <= width and drawn.y1 <= height)


@pytest.mark.parametrize("classes", [1, 2, 3, 10, 20, 21, 60, 121, 1000])
def test_a_confusion_matrix_of_any_size_fits_its_figure(classes: int) -> None:
    names = [f"class {i}" for i in range(classes)]
    figure = confusion_figure(confusion(classes), names, "resnet18, 3 seeds")
    size = Image.open(io.BytesIO(png_bytes(figure))).size
    assert max(size) < 3000
    assert fits(figure)


def test_the_numbers_in_the_cells_are_shares_of_the_true_class() -> None:
    figure = confusion_figure([[3, 1], [0, 7]], ["cat", "dog"], "lenet5")
    shown = {text.get_text() for text in figure.axes[0].texts}
    assert {"75", "25", "100", "% of each true class · 90.9% right of 11"} == shown - {""}


def test_a_confusion_too_rare_for_a_number_is_still_seen() -> None:
    figure = confusion_figure([[999, 1], [0, 1000]], ["cat", "dog"], "lenet5")
    assert "·" in {text.get_text() for text in figure.axes[0].texts}


def test_a_class_without_images_says_so_instead_of_showing_zeros() -> None:
    figure = confusion_figure([[0, 0], [1, 9]], ["cat", "dog"], "lenet5")
    assert "no images" in {text.get_text() for text in figure.axes[0].texts}


def test_a_matrix_too_large_for_numbers_lists_its_largest_confusions() -> None:
    counts = 100 * np.eye(300, dtype=np.int64)
    counts[17, 250] = 60
    shown = [text.get_text() for text in texts(confusion_figure(counts, [f"c{i}" for i in range(300)], "vit"))]
    assert "17 c17\n→ 250 c250" in shown


def test_a_lone_confusion_among_a_thousand_classes_keeps_its_colour() -> None:
    counts = 100 * np.eye(1000, dtype=np.int64)
    counts[100, 900] = 100
    image = confusion_figure(counts, [str(i) for i in range(1000)], "vit").axes[0].images[0].get_array()
    assert image is not None
    assert np.asarray(image)[25, 225] == 0.5


@pytest.mark.parametrize("name", ["$x$", "\\frac", "鳥", "кот", "a\nb", "", "x" * 200, "<b>&", "😀", "%s {0}"])
def test_any_class_name_is_drawn_without_a_warning(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = confusion_figure([[3, 1], [0, 7]], [name, "dog"], name)
        assert svg_bytes(figure).startswith(b"<?xml")
        assert png_bytes(figure).startswith(b"\x89PNG")
        png_bytes(curves_figure({name or "-": epochs([0.5, 0.6])}, title=name))
        png_bytes(pareto_figure([Point(name, name, 1.0, 0.5), Point("b", "b", 2.0, 0.6)], title=name))


@pytest.mark.parametrize(
    ("counts", "names", "message"),
    [([[1, 2]], ["a"], "square"), ([], [], "square"), ([[1]], ["a", "b"], "1 classes, but 2 names"),
     ([[-1]], ["a"], "negative"), ([[float("nan")]], ["a"], "non-finite")],
)  # fmt: skip
def test_what_is_no_confusion_matrix_is_refused(counts: list[list[int]], names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_figure(counts, names, "x")


@given(st.integers(1, 6), st.integers(0, 1000))
def test_rows_of_rates_sum_to_one(classes: int, seed: int) -> None:
    assert row_rates(confusion(classes, seed)).sum(axis=1) == pytest.approx(np.ones(classes))


def test_the_hardest_confusions_come_largest_first_and_without_the_diagonal() -> None:
    pairs = hardest(row_rates([[8, 2, 0], [0, 5, 5], [0, 0, 0]]), 9)
    assert [(pair.true, pair.predicted, pair.rate) for pair in pairs] == [(1, 2, 0.5), (0, 1, 0.2)]


def draw_all() -> list[Figure]:
    return [
        confusion_figure(confusion(3), ["cat", "dog", "bird"], "lenet5"),
        curves_figure({"a": epochs([0.5, 0.6]), "b": epochs([0.55])}),
        pareto_figure([Point(name, name, 2.0**i, 0.6 + i / 50, (0.01, 0.02)) for i, name in enumerate("abc")]),
    ]


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert [svg_bytes(each) for each in draw_all()] == [svg_bytes(each) for each in draw_all()]
    assert [png_bytes(each) for each in draw_all()] == [png_bytes(each) for each in draw_all()]


def test_saving_as_one_format_does_not_change_the_other() -> None:
    for one, two in zip(draw_all(), draw_all(), strict=True):
        png_bytes(one)
        assert svg_bytes(one) == svg_bytes(two)


def test_a_users_own_style_changes_nothing_and_keeps_its_values() -> None:
    before = svg_bytes(draw_all()[0])
    with mpl.rc_context({"font.size": 22, "axes.facecolor": "red", "svg.hashsalt": "mine"}):
        assert svg_bytes(draw_all()[0]) == before
        assert mpl.rcParams["font.size"] == 22


def test_drawing_touches_no_global_state_of_matplotlib() -> None:
    program = (
        "import sys\nfrom reports.figures import *\n"
        "png_bytes(confusion_figure([[3, 1], [0, 7]], ['a', 'b'], 'x'))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, cwd=root, timeout=120)


def test_curve_labels_do_not_cover_each_other_even_where_the_lines_end_together() -> None:
    figure = curves_figure({name: epochs([0.5, 0.6, 0.7 + i / 1000]) for i, name in enumerate(MODELS)})
    names = [text for text in texts(figure) if text.get_text() in MODELS]
    assert len(names) == len(MODELS)
    assert overlaps(figure, names) == []
    assert fits(figure)


def test_curves_are_drawn_in_per_cent_and_skip_what_is_undefined() -> None:
    (line,) = curves_figure({"a": epochs([0.5, None, 0.75])}).axes[0].lines
    assert list(np.asarray(line.get_xdata())) == [1, 3]
    assert list(np.asarray(line.get_ydata())) == [50.0, 75.0]


def test_a_log_loss_is_not_drawn_in_per_cent() -> None:
    events = [Event(1, 1, 0.0, {"val/log_loss": 0.5})]
    (line,) = curves_figure({"a": events}, name="val/log_loss").axes[0].lines
    assert list(np.asarray(line.get_ydata())) == [0.5]


def test_curves_without_epochs_say_so() -> None:
    assert "no epochs" in {text.get_text() for text in texts(curves_figure({"a": ()}))}


def test_the_mean_curve_ends_where_the_first_seed_stopped() -> None:
    mean = average([epochs([0.2, 0.4, 0.6]), epochs([0.4, 0.6])], "val/accuracy")
    assert [(event.epoch, event.metrics["val/accuracy"]) for event in mean] == [
        (1, pytest.approx(0.3)),
        (2, pytest.approx(0.5)),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_every_model_is_named_in_the_scatter_and_no_name_covers_another(seed: int) -> None:
    random = np.random.default_rng(seed)
    points = [
        Point(m, m, float(random.uniform(5, 90)), float(random.uniform(0.7, 0.9)), (0.005, 0.005)) for m in MODELS
    ]
    figure = pareto_figure(points)
    names = [text for text in texts(figure) if isinstance(text, Annotation)]
    assert sorted(text.get_text() for text in names) == sorted(MODELS)
    assert overlaps(figure, names) == []
    assert fits(figure)


def test_one_point_and_equal_points_are_drawn() -> None:
    assert png_bytes(pareto_figure([Point("a", "a", 0.0, 0.5)]))
    assert png_bytes(pareto_figure([Point(name, name, 3.0, 0.5) for name in MODELS]))


@given(st.lists(st.tuples(st.floats(1, 99), st.floats(0, 1)), min_size=1, max_size=12), st.booleans())
def test_nothing_beats_a_point_of_the_front_in_both(values: list[tuple[float, float]], higher: bool) -> None:
    points = [Point(str(i), "m", x, y) for i, (x, y) in enumerate(values)]
    kept = front(points, higher=higher)
    sign = 1 if higher else -1
    for point in points:
        beaten = any(
            each.x <= point.x and sign * each.y >= sign * point.y and (each.x, each.y) != (point.x, point.y)
            for each in points
        )
        assert beaten or any((each.x, each.y) == (point.x, point.y) for each in kept)
        assert not (beaten and point in kept)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.floats(0.1, 20))
def test_spread_positions_keep_their_order_their_distance_and_the_borders(wanted: list[float], gap: float) -> None:
    found = spread(wanted, gap, 0, 100)
    fits = min(gap, 100 / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    for a, b in itertools.pairwise(order):
        assert found[b] - found[a] >= fits - 1e-6
    assert all(-1e-6 <= each <= 100 + 1e-6 for each in found)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12))
def test_positions_that_are_far_enough_apart_stay(wanted: list[float]) -> None:
    if all(abs(a - b) >= 1 for a, b in itertools.combinations(wanted, 2)):
        assert spread(wanted, 1, 0, 100) == pytest.approx(wanted)


PIXELS = st.tuples(st.floats(0, 300), st.floats(0, 200))


@given(st.lists(PIXELS, min_size=1, max_size=10))
def test_placed_labels_overlap_nothing_and_stay_inside(points: list[tuple[float, float]]) -> None:
    inside = Box(-100, -20, 400, 220)
    markers = [Box(x - 3, y - 3, x + 3, y + 3) for x, y in points]
    corners = place_labels(points, [(60, 12)] * len(points), markers, inside, 8)
    boxes = [Box(corner[0], corner[1], corner[0] + 60, corner[1] + 12) for corner in corners if corner]
    assert all(box.outside(inside) < 1e-6 for box in boxes)
    assert all(one.overlap(two) == 0 for one, two in itertools.combinations(boxes, 2))
    assert all(box.overlap(marker) == 0 for box in boxes for marker in markers)


# Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation of color vision deficiency",
# severity 1.0; applied to linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> npt.NDArray[np.float64]:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", list(VISION))
def test_the_colours_stay_apart_for_the_colour_blind(vision: str) -> None:
    seen = [lab(VISION[vision] @ linear(colour)) for colour in COLOURS]
    assert min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)) >= 20


@pytest.mark.parametrize("colour", COLOURS)
def test_each_colour_has_a_contrast_of_3_to_white(colour: str) -> None:
    assert 1.05 / (float((TO_XYZ @ linear(colour))[1]) + 0.05) >= 2.95


def test_looks_differ_for_thirty_models() -> None:
    found = looks([f"model{i}" for i in range(30)])
    assert len(set(found.values())) == 30
