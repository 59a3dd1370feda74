"""`compare A B`: names, paired tests, confusions, flipped images, the figure."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmark.comparing import named, write_figure, write_flips
from benchmark.preparing import UsageProblem
from benchmark.records import Predictions
from benchmark.rundir import RunDir
from reports.answers import Answers, flips, gather
from reports.changed import difference_of, largest
from reports.comparison import Comparison, Side, compare
from reports.comparison_words import document, flips_text, lines, sentence
from reports.confusion_pair import confusion_pair_figure
from reports.figures import png_bytes, svg_bytes
from reports.leaderboard import Entry, Leaderboard, build
from reports.statistics import mcnemar
from tests.report_support import HEADER, done, failed, make_run, pending
from tests.test_cli import Command

ACCURACIES = {"lenet5": (0.70, 0.71, 0.72), "resnet18": (0.90, 0.91, 0.92)}


def entries(home: Path, accuracies: dict[str, tuple[float, ...]] = ACCURACIES, **keys: Any) -> list[Entry]:
    return [
        done(make_run(model, seed, **keys), accuracy, directory=home / "кот #1" / model / str(seed))
        for model, seeds in accuracies.items()
        for seed, accuracy in enumerate(seeds)
    ]


def board(home: Path) -> Leaderboard:
    return build(entries(home), HEADER)


def compared(found: Leaderboard, a: str, b: str) -> Comparison:
    return compare(named(found, a), named(found, b), "test/accuracy")


def test_the_better_configuration_is_named_with_its_paired_test(tmp_path: Path) -> None:
    found = compared(board(tmp_path), "resnet18", "lenet5")
    assert found.verdict is not None
    assert found.verdict.better == "first"
    assert found.verdict.difference == pytest.approx(0.20, abs=1e-6)
    assert found.verdict.low < found.verdict.difference < found.verdict.high
    assert "over seeds and images" in found.verdict.test
    assert sentence(found).startswith("A (resnet18) is better: test accuracy 91.0% against 71.0%, +20.0 points")
    assert set(found.verdicts) == {"test/accuracy", "test/f1_macro", "test/roc_auc_macro", "test/log_loss"}
    assert found.settings == {"model": ("resnet18", "lenet5")}


def test_exchanging_the_two_turns_every_sign(tmp_path: Path) -> None:
    there = compared(board(tmp_path), "resnet18", "lenet5")
    back = compared(board(tmp_path), "lenet5", "resnet18")
    for name, verdict in there.verdicts.items():
        other = back.verdicts[name]
        assert (other.difference, other.low, other.high) == pytest.approx(
            (-verdict.difference, -verdict.high, -verdict.low)
        )
        assert other.p == pytest.approx(verdict.p)
    assert there.verdicts["test/log_loss"].better == "first"
    assert there.verdicts["test/log_loss"].difference < 0
    assert there.flips is not None
    assert back.flips is not None
    assert {each.id for each in there.flips.lost} == {each.id for each in back.flips.gained}


def test_two_single_runs_have_mcnemars_exact_test(tmp_path: Path) -> None:
    found = board(tmp_path)
    rows = {row.model: row for row in found.tables[0].rows}
    runs = [rows["resnet18"].done[0], rows["lenet5"].done[2]]
    one = compared(found, runs[0].run.run_id[:6], runs[1].run.run_id[:4])
    read = [RunDir(each.directory).read_predictions("test") for each in runs if each.directory]
    right = [each.log_probs.argmax(1) == each.labels for each in read]
    assert one.verdict is not None
    assert one.verdict.test == "McNemar's exact test"
    assert one.verdict.p == pytest.approx(mcnemar(right[0], right[1]))
    assert one.settings["seed"] == (0, 2)
    assert any("another seed may turn it round" in line for line in lines(one))


def test_what_is_not_told_apart_says_what_would_tell(tmp_path: Path) -> None:
    found = build(entries(tmp_path, {"a": (0.70, 0.74), "b": (0.71, 0.75)}), HEADER)
    near = compared(found, "a", "b")
    assert near.verdict is not None
    assert near.verdict.better is None
    assert near.verdict.more_seeds or near.verdict.more_images
    assert sentence(near).startswith("No difference shown: ")
    assert "would tell them apart" in sentence(near)


def test_flips_are_counted_by_hand(tmp_path: Path) -> None:
    """Of 300 images 24 more are wrong at 71% in the middle run than at 92%; none the other way."""
    found = compared(build(entries(tmp_path, {"a": (0.92,), "b": (0.71,)}), HEADER), "a", "b")
    assert found.answers is not None
    assert found.flips is not None
    first, second = (each.right for each in found.answers)
    assert len(found.flips.lost) == int((first & ~second).sum()) == 63
    assert len(found.flips.gained) == int((second & ~first).sum()) == 0


def predictions(told: Sequence[Sequence[float]], labels: Sequence[int]) -> Predictions:
    ids = np.array([f"image {i}" for i in range(len(labels))])
    return Predictions(ids, np.array(labels), np.log(np.array(told, dtype=np.float32)))


def test_most_seeds_decide_and_the_mean_probability_where_they_are_split() -> None:
    sure, unsure = [0.05, 0.9, 0.05], [0.6, 0.3, 0.1]
    three = gather([predictions([each], [0]) for each in (unsure, unsure, sure)])
    two = gather([predictions([each], [0]) for each in (unsure, sure)])
    assert three is not None
    assert two is not None
    assert three.told.tolist() == [0]  # two of three, although the mean probability is for class 1
    assert two.told.tolist() == [1]  # split: class 1 is the more probable
    assert (three.agreeing.tolist(), two.agreeing.tolist()) == ([2], [1])
    assert three.confusion.tolist() == [[2, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert three.certainty.tolist() == pytest.approx([(0.6 + 0.6 + 0.05) / 3])


def test_the_surest_flips_come_first() -> None:
    a = gather([predictions([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [0, 0, 0])])
    b = gather([predictions([[0.45, 0.55], [0.1, 0.9], [0.9, 0.1]], [0, 0, 0])])
    assert a is not None
    assert b is not None
    found = flips(a, b)
    assert [each.id for each in found.lost] == ["image 1", "image 0"]
    assert [each.id for each in found.gained] == ["image 2"]
    assert [each.id for each in found] == ["image 1", "image 0", "image 2"]


def test_changes_of_the_confusion_are_of_rates_and_never_of_the_diagonal() -> None:
    found = compared_answers([[8, 2, 0], [0, 10, 0], [5, 0, 5]]), compared_answers([[4, 6, 0], [0, 10, 0], [4, 0, 6]])
    changes = largest(*found, 5)
    assert [(each.true, each.predicted, round(each.difference, 6)) for each in changes] == [(0, 1, -0.4), (2, 0, 0.1)]
    assert difference_of(*found)[0].tolist() == pytest.approx([0.4, -0.4, 0.0])


def compared_answers(confusion: Sequence[Sequence[int]] | npt.NDArray[np.int64]) -> Answers:
    nothing = np.zeros(1, dtype=np.int64)
    return Answers(np.array(["x"]), nothing, nothing, nothing, nothing.astype(float), np.array(confusion), 1)


@pytest.mark.parametrize("name", ["lenet5", "LENET", "9999", "", "resnet18 · seed 7"])
def test_a_name_of_nothing_lists_what_there_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageProblem, match="no run, configuration or model") as caught:
        named(build(entries(tmp_path, {"resnet18": (0.9,), "résnet": (0.8,)}), HEADER), name)
    assert "resnet18 (fashion-mini)" in str(caught.value)


def test_a_model_of_several_configurations_lists_them_with_their_ids(tmp_path: Path) -> None:
    two = [done(make_run("lenet5", lr=lr), 0.7, directory=tmp_path / str(lr)) for lr in (0.1, 0.01)]
    found = build(two, HEADER)
    with pytest.raises(UsageProblem, match="fits several") as caught:
        named(found, "lenet5")
    for row in found.tables[0].rows:
        assert f"{row.configuration_id}  {row.label}" in str(caught.value)
        assert named(found, row.configuration_id[:5]).row is row
        assert named(found, row.label).row is row


def test_runs_are_named_by_label_or_the_beginning_of_their_id(tmp_path: Path) -> None:
    found = board(tmp_path)
    by_label = named(found, "lenet5 · seed 1")
    assert [each.run.seed for each in by_label.row.entries] == [1]
    assert by_label.row.mean("test/accuracy") == pytest.approx(0.71)
    assert named(found, by_label.row.entries[0].run.run_id[:5].upper()).label == by_label.label


def test_what_has_not_finished_says_why(tmp_path: Path) -> None:
    found = build([*entries(tmp_path), failed(make_run("vit")), pending(make_run("vgg"))], HEADER)
    with pytest.raises(UsageProblem, match="vit has no result to compare: diverged: the loss is NaN at step 112"):
        named(found, "vit")
    with pytest.raises(UsageProblem, match="vgg has no result to compare: pending"):
        named(found, "vgg")


def test_a_close_name_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="did you mean 'resnet18'"):
        named(board(tmp_path), "resnet81")


def test_other_test_images_are_refused(tmp_path: Path) -> None:
    other = done(make_run("lenet5", digest="ab" * 32), 0.7, directory=tmp_path / "other")
    found = build([*entries(tmp_path, {"resnet18": (0.9,)}), other], HEADER)
    with pytest.raises(ValueError, match=r"tested on other images: .*6d958be0.*abababab"):
        compared(found, "resnet18", "lenet5")


def test_without_predictions_means_over_seeds_are_compared_and_it_is_said(tmp_path: Path) -> None:
    found = build(entries(tmp_path), HEADER)
    (tmp_path / "кот #1" / "lenet5" / "1" / "predictions.npz").write_bytes(b"PK\x03\x04 broken")
    rest = compared(found, "resnet18", "lenet5")
    assert rest.verdict is not None
    assert rest.verdict.test == "unpaired t test over seeds"
    assert rest.verdict.better == "first"
    assert rest.flips is None
    text = "\n".join(lines(rest))
    assert "lenet5, seed 1: not compared, its predictions.npz cannot be read" in text
    with pytest.raises(UsageProblem, match="predictions"):
        write_flips(rest, tmp_path / "flips.csv")
    with pytest.raises(UsageProblem, match="predictions"):
        write_figure(rest, tmp_path / "figure.png")


def test_single_runs_without_predictions_are_not_tested(tmp_path: Path) -> None:
    found = compared(build([done(make_run("a"), 0.5), done(make_run("b"), 0.9)], HEADER), "a", "b")
    assert found.verdicts == {}
    assert sentence(found).startswith("No difference can be tested")
    assert json.loads(json.dumps(document(found)))["better"] is None


def test_a_ranking_by_speed_is_tested_by_accuracy(tmp_path: Path) -> None:
    found = board(tmp_path)
    assert compare(named(found, "lenet5"), named(found, "resnet18"), "cost/train_seconds").primary == "test/accuracy"


def test_hostile_names_stay_on_their_line_and_out_of_formulas(tmp_path: Path) -> None:
    home = tmp_path / "x"
    found = compared(build(entries(home, {"a\x1b[31m": (0.9,), "b\nb": (0.7,)}), HEADER), "a\x1b[31m", "b\nb")
    assert all("\x1b" not in line and "\n" not in line for line in lines(found))
    answers = found.answers
    assert answers is not None
    hostile = compared_with_names(found, ["=1+1", "@SUM(A1)", "bird"])
    rows = list(csv.reader(io.StringIO(flips_text(hostile))))
    assert len(rows) == 1 + len(list(hostile.flips or ()))
    assert not any(text.startswith(("=", "@")) for row in rows for text in row)


def compared_with_names(found: Comparison, classes: list[str]) -> Comparison:
    from dataclasses import replace

    table = replace(found.first.table, data=replace(found.first.table.data, classes=tuple(classes)))
    return replace(found, first=Side(found.first.label, table, found.first.row))


def test_the_document_is_json_with_both_sides(tmp_path: Path) -> None:
    told = json.loads(json.dumps(document(compared(board(tmp_path), "resnet18", "lenet5")), allow_nan=False))
    assert told["better"] == "first"
    assert told["metrics"]["test/accuracy"]["first"]["values"] == [0.9, 0.91, 0.92]
    assert told["metrics"]["test/accuracy"]["versus"]["p"] < 0.05
    assert told["flips"]["first_only_count"] == len([*flips_of(tmp_path)])
    assert told["confusion"][0]["true"] in {"cat", "dog", "bird"}


def flips_of(home: Path) -> Sequence[Any]:
    found = compared(board(home), "resnet18", "lenet5").flips
    assert found is not None
    return found.lost


@pytest.mark.parametrize("classes", [2, 3, 10, 20, 21, 120, 121, 1000])
def test_the_figure_has_both_matrices_and_their_difference_at_every_number_of_classes(classes: int) -> None:
    random = np.random.default_rng(classes)
    sides = [
        compared_answers(random.integers(0, 3, (classes, classes)) + 40 * np.eye(classes, dtype=int)) for _ in "ab"
    ]
    names = [f"class $x_{i}$ with a long name" for i in range(classes)]
    figure = confusion_pair_figure(sides[0], sides[1], names, ("one", "other " * 30))
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(shown) >= 3
    assert figure.axes[0].get_title(loc="left").startswith("A: one")
    assert figure.axes[2].get_title(loc="left").startswith("A − B")
    boxes = [axes.get_window_extent() for axes in figure.axes[:3]]
    assert all(box.width > 180 and abs(box.width - box.height) < 2 for box in boxes)  # large, and square
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_difference_keeps_the_largest_change_of_a_pooled_cell() -> None:
    first, second = np.eye(600, dtype=int) * 10, np.eye(600, dtype=int) * 10
    first[100, 101:103] = 5  # more in the first
    second[400, 20] = 20  # more in the second
    figure = confusion_pair_figure(compared_answers(first), compared_answers(second), ["x"] * 600, ("a", "b"))
    shown = np.asarray(figure.axes[2].images[0].get_array())
    assert shown.shape == (200, 200)
    assert shown[400 // 3, 20 // 3] == pytest.approx(-1)
    assert shown[100 // 3, 102 // 3] > 0.3


def test_a_class_without_images_is_grey_in_all_three() -> None:
    counts = np.array([[5, 1, 0], [0, 0, 0], [1, 0, 5]])
    figure = confusion_pair_figure(compared_answers(counts), compared_answers(counts), "abc", ("a", "b"))
    for axes in figure.axes[:3]:
        assert np.ma.getmaskarray(axes.images[0].get_array())[1].all()


def test_the_same_answers_give_the_same_bytes_in_the_wanted_format(tmp_path: Path) -> None:
    found = compared(board(tmp_path), "resnet18", "lenet5")
    png, svg = (write_figure(found, tmp_path / "ein Bild" / name) for name in ("a.PNG", "b.svg"))
    with Image.open(png) as image:
        assert image.size[0] > 1000
    assert svg.read_bytes().startswith(b"<?xml")
    assert found.answers is not None
    again = confusion_pair_figure(*found.answers, found.classes, ("resnet18", "lenet5"))
    assert png.read_bytes() == png_bytes(again)
    assert svg.read_bytes() == svg_bytes(again)


def test_a_figure_of_another_format_is_refused_before_anything_is_read() -> None:
    from benchmark.cli import main

    found = CliRunner().invoke(main, ["compare", "a", "b", "--figure", "x.jpg"])
    assert found.exit_code == 2
    assert "neither .png nor .svg" in found.output


YAML = """name: tiny
data: {source: synthetic, train_size: 120, test_size: 60, classes: 3}
defaults: {epochs: 1, batch_size: 16, image_size: 32}
matrix: {model: lenet5, lr: [1e-3, 1e-2], seed: [0, 1]}
"""


@pytest.mark.slow
def test_a_real_sweep_is_compared_from_the_command_line_and_gated_against_itself(tmp_path: Path) -> None:
    home = tmp_path / "кот #1"
    home.mkdir()
    (home / "experiments.yaml").write_text(YAML, encoding="utf-8")
    command = Command(home, home / "cache")
    assert "nothing has run yet" in command("compare", "a", "b", code=2)
    command("run", "--workers", "1")
    several = command("compare", "lenet5", "lenet5", code=2)
    assert "'lenet5' fits several" in several
    a, b = (line.split()[0] for line in several.splitlines()[1:3])
    told = command("compare", a, b[:6], "--figure", "a figure.png", "--flips", "flips.csv", "experiments.yaml")
    assert re.search(r"lr +(0.01 +1e-3|1e-3 +0.01)", told)
    assert "p is of this pair and this metric alone" in told
    assert (home / "a figure.png").stat().st_size > 10_000
    with (home / "flips.csv").open(encoding="utf-8", newline="") as file:
        flipped = list(csv.DictReader(file))
    found = re.search(r"(\d+) images are right in A and wrong in B, (\d+) the other way", told)
    assert [sum(row["right in"] == side for row in flipped) for side in "AB"] == (
        [int(each) for each in found.groups()] if found else [0, 0]
    )
    assert "are the same: lenet5" in command("compare", a, a, code=2)
    assert "2 same runs" in command("diff", "results/tiny", "results/tiny/leaderboard.json", "--fail-on-regression")
