"""What is written into leaderboard.html, read without a browser."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html as htmllib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmark.data import datasets, prepared
from benchmark.records import CalibrationBin, ClassMetrics, Evaluation, Event, Predictions, RocCurve
from benchmark.run import DataSpec
from benchmark.rundir import RunDir
from benchmark.thumbnails import thumbnails
from reports import html
from reports.exhibit import Exhibit
from reports.html import colours, gallery, tested
from reports.html.inline import inline, shown
from reports.html.lessons import curve
from reports.html.lists import LISTED
from reports.html.reading import Lesson, read
from reports.leaderboard import Entry, Leaderboard, build
from reports.ordering import clustered
from reports.provenance import logs_command
from reports.render import write
from reports.standing import signed
from reports.study import Interval, Study, Versus
from reports.style import COLOURS, looks
from reports.text import code, markdown, one_line
from reports.tradeoffs import Tradeoffs
from tests.html_support import NAMES, noise, trained
from tests.report_support import CLASSES, HEADER, done, failed, make_run, pending

HOSTILE = ("</script><script>hacked = 1</script>", '"><img src=x onerror="hacked=1">', "<!--", "{{script}}", "a&amp;b")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "кот #1" / "tour"


def page(board: Leaderboard, directory: Path, *, study: Study | None = None, front: Tradeoffs | None = None) -> str:
    parts = [Exhibit(table, board.header.primary, study or Study(), front or Tradeoffs()) for table in board.tables]
    return html.page(board, parts, directory)


def data_of(text: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    document: dict[str, Any] = json.loads(found)
    return document


def words(text: str) -> str:
    """What is between the tags of the body, without scripts."""
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", text.partition("<body>")[2], flags=re.DOTALL)
    return re.sub(r"\s+", " ", htmllib.unescape(re.sub(r"<[^>]+>", " ", body)))


def two(directory: Path) -> list[Entry]:
    return [trained(directory, model, seed, skill) for model, skill in (("a", 1.5), ("b", 3.0)) for seed in (0, 1)]


def test_the_page_is_written_beside_the_others_and_again_with_the_same_bytes(directory: Path) -> None:
    entries = two(directory)
    write(build(entries, HEADER), directory, noise)
    first = (directory / "leaderboard.html").read_bytes()
    write(build(list(reversed(entries)), HEADER), directory, noise)
    assert (directory / "leaderboard.html").read_bytes() == first
    assert first.startswith(b"<!doctype html>")


def test_the_policy_allows_this_style_and_this_script_and_nothing_else(directory: Path) -> None:
    text = page(build(two(directory), HEADER), directory)
    policy = htmllib.unescape(re.findall(r'Content-Security-Policy" content="([^"]+)"', text)[0])
    for name, tag in (("script-src", "script"), ("style-src", "style")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert " style=" not in text
    assert set(re.findall(r"https?://[^\s\"'`]+", text)) == {"http://www.w3.org/2000/svg"}


def test_names_from_outside_are_text_wherever_they_stand(directory: Path) -> None:
    entries = [trained(directory, name, 0, 2.0, classes=HOSTILE) for name in HOSTILE]
    entries += [failed(make_run(name, 1), message=name) for name in HOSTILE]
    header = dataclasses.replace(HEADER, experiment=HOSTILE[0], description=HOSTILE[1], command=f"x run {HOSTILE[1]}")
    text = page(build(entries, header), directory)
    assert text.count("<script") == 2
    assert text.count("</script>") == 2
    assert "<img" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "<!--" not in text
    assert data_of(text)["tables"][0]["classes"] == list(HOSTILE)
    assert all(name in words(text) for name in HOSTILE)


@given(st.text(max_size=40))
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    assert shown(markdown(text)) == one_line(text)
    assert "<" not in inline(markdown(text))
    assert shown(f"**{markdown(text)}**") == one_line(text)
    assert inline(f"**{markdown(text)}**").startswith("<strong>")


@given(st.text(st.characters(codec="utf-8", exclude_characters="|"), max_size=40))
def test_code_is_shown_as_it_is(text: str) -> None:
    assert shown(f"x {code(text)}").removeprefix("x ").strip() == one_line(text)


def test_the_sentences_are_those_of_the_markdown(directory: Path) -> None:
    entries = [
        done(make_run("big"), 0.9, profile={"speed/latency_ms_p50": 6.2}),
        done(make_run("small"), 0.892, profile={"speed/latency_ms_p50": 2.0}),
    ]
    text = words(page(build(entries, HEADER), directory))
    assert (
        "2 runs, all done · 2 configurations × 1 seed · fashion-mini, test n = 300 · ranked by test accuracy ↑" in text
    )
    assert "Fastest within 1 point: small (−0.8), 3.1× faster (2.0 against 6.2 ms an image)." in text
    assert "commit: 4f2c1a9" in text


def test_what_is_not_ranked_has_its_reason_and_the_command_that_shows_the_log(directory: Path) -> None:
    lost = failed(make_run("vgg11_bn", 3), "oom", "out of memory while testing")
    board = build([done(make_run()), lost, *(pending(make_run("late", seed)) for seed in (0, 1))], HEADER)
    text = words(page(board, directory))
    key = lost.run.run_id[:6]
    assert (
        f"{key} vgg11_bn, seed 3 oom out of memory while testing python -m benchmark logs {key} experiments.yaml"
        in text
    )
    assert "late, seed 0, 1 pending has not finished yet" in text


@pytest.mark.parametrize(("models", "alike"), [(("a", "a", "b"), 2), (("a", "a", "a"), 3), (("a",) * 400, 324)])
def test_the_settings_of_one_model_look_apart_and_those_of_several_by_their_models(
    directory: Path, models: tuple[str, ...], alike: int
) -> None:
    entries = [done(make_run(model, lr=place / 1000)) for place, model in enumerate(models, 1)]
    entries.append(failed(make_run("never")))
    found = data_of(page(build(entries, HEADER), directory))
    (table,) = found["tables"]
    rows = table["rows"]
    assert len({row["look"] for row in rows}) == min(alike, len(rows))
    assert {row["alike"] for row in rows} <= {row["model" if len(set(models)) > 1 else "label"] for row in rows}
    assert len(found["looks"]) == alike + (len(set(models)) > 1)


def test_of_many_configurations_to_come_it_is_said_how_many_are_left_out(directory: Path) -> None:
    waiting = (pending(make_run(f"late{number}", seed)) for number in range(LISTED + 3) for seed in (0, 1))
    text = words(page(build([done(make_run()), *waiting], HEADER), directory))
    assert "And 3 more, in leaderboard.json." in text


def test_the_command_of_the_log_follows_that_of_the_run() -> None:
    told = logs_command("python -m benchmark run my.yaml --set epochs=3", "0123456789ab")
    assert told == "python -m benchmark logs 012345 my.yaml --set epochs=3"
    assert logs_command("", "0123456789ab") == ""
    assert logs_command("python -m benchmark run", "0123456789ab") == "python -m benchmark logs 012345"


def test_an_empty_leaderboard_and_one_without_results_are_written(directory: Path) -> None:
    write(build([], HEADER), directory)
    write(build([failed(make_run()), pending(make_run("b"))], HEADER), directory)
    assert "No run has finished." in words((directory / "leaderboard.html").read_text(encoding="utf-8"))


def test_a_value_that_is_unknown_is_a_dash_and_has_its_reason(directory: Path) -> None:
    lost = done(make_run("a"), None, undefined={"test/accuracy": "one class only"})
    text = page(build([lost, done(make_run("b"))], HEADER), directory)
    (row,) = [line for line in re.findall(r"<tr data-row.*?</tr>", text, re.DOTALL) if 'data-model="a"' in line]
    assert row.count('<td class="n">–</td>') == 2
    assert "accuracy %: seed 0: one class only (a)" in words(text)


def compared(board: Leaderboard) -> tuple[Study, Tradeoffs]:
    """A study in which the second row is tied with the best and the third is not."""
    first, second, third = (row.configuration_id for row in board.tables[0].rows)
    tie = Versus(-0.002, -0.006, 0.002, 0.4, 0.4, "McNemar's exact test", True, False, more_seeds=4)
    loss = Versus(-0.1, -0.12, -0.08, 0.001, 0.002, "McNemar's exact test", False, True)
    intervals = {
        first: {"test/accuracy": Interval(0.891, 0.909, "seeds and images")},
        second: {"test/accuracy": Interval(0.889, 0.907, "images")},
    }
    study = Study(first, intervals, {second: tie, third: loss}, 2, ("one row was not compared",))
    front = Tradeoffs(("test/accuracy", "model/macs"), (first, second), {third: first}, {"cpu": (first, second, third)})
    return study, front


def test_intervals_ties_and_the_front_stand_in_the_table(directory: Path) -> None:
    board = build([done(make_run(m), a) for m, a in (("a", 0.9), ("b", 0.898), ("c", 0.8))], HEADER)
    study, front = compared(board)
    text = page(board, directory, study=study, front=front)
    rows = [words(f"<body>{row}") for row in re.findall(r"<tr data-row.*?</tr>", text, re.DOTALL)]
    assert "1 a" in rows[0]
    assert "89.1–90.9 the best" in rows[0]
    assert "1= b" in rows[1]
    assert "88.9–90.7 over images only −0.2 tied −0.6 to +0.2 about 4 more seeds each would tell them apart" in rows[1]
    assert "3 c" in rows[2]
    assert "– −10.0 * −12.0 to −8.0" in rows[2]
    assert "★" in rows[0]
    assert "dominated by a" in rows[2]
    told = words(text)
    assert "Tied with it: b (about 4 more seeds each would tell them apart)." in told
    assert "p < 0.05, McNemar's exact test, after Holm's correction over all 2 pairs" in told
    assert "One row was not compared" in told
    assert data_of(text)["tables"][0]["rows"][2]["says"] == ["−10.0 against the best: told apart", "dominated by a"]


def test_rows_measured_on_different_machines_are_told_and_have_fronts_of_their_own(directory: Path) -> None:
    board = build([done(make_run(m), a) for m, a in (("a", 0.9), ("b", 0.8))], HEADER)
    a, b = (row.configuration_id for row in board.tables[0].rows)
    text = page(board, directory, front=Tradeoffs(("test/accuracy",), (a,), {}, {"a CPU": (a,), "a GPU": (b,)}))
    assert "Speed and cost are compared only within what was measured alike. a CPU: a; a GPU: b." in words(text)
    assert [row["group"] for row in data_of(text)["tables"][0]["rows"]] == [0, 1]
    assert ">a CPU</td>" in text


def test_a_long_front_and_a_long_table_are_cut_and_counted(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.html.table.ROWS", 4)
    monkeypatch.setattr("reports.html.lists.ROWS", 4)
    board = build([done(make_run(f"m{n}"), 0.9 - n / 100) for n in range(8)], HEADER)
    ids = tuple(row.configuration_id for row in board.tables[0].rows)
    text = page(board, directory, front=Tradeoffs(("test/accuracy", "model/macs"), ids))
    assert "multiply-adds per image (★): m0; m1; m2; m3; m4 and 3 more." in words(text)
    assert "The best 4 of 8; all are in leaderboard.csv." in words(text)
    assert text.count("<tr data-row") == 4


def test_the_best_speed_is_bold_within_what_was_measured_alike(directory: Path) -> None:
    speeds = {"a": 1.0, "b": 2.0, "c": 5.0, "d": 7.0}
    entries = [done(make_run(m), 0.8, profile={"speed/latency_ms_p50": speed}) for m, speed in speeds.items()]
    board = build(entries, HEADER)
    a, b, c, d = (row.configuration_id for row in board.tables[0].rows)
    alike = page(board, directory, front=Tradeoffs(groups={"one": (a, b, c, d)}))
    apart = page(board, directory, front=Tradeoffs(groups={"CPU": (a, b), "GPU": (c, d)}))
    bold = [re.findall(r"<strong>([\d.]+)</strong></td>", text) for text in (alike, apart)]
    assert bold == [["1.0"], ["1.0", "5.0"]]


@pytest.mark.parametrize(("value", "expected"), [(-0.002, "−0.2"), (0.1, "+10.0"), (0.0001, "0.0"), (0.0, "0.0")])
def test_differences_have_their_sign_unless_they_read_as_zero(value: float, expected: str) -> None:
    assert signed(value, "test/accuracy") == expected


@pytest.mark.parametrize(
    ("name", "content", "trouble", "lost"),
    [
        ("evaluation.json", "{", "a, seed 0: no evaluation", "confusions"),
        ("evaluation.json", '{"splits": {}}', "a, seed 0: no evaluation", "confusions"),
        ("checkpoint/events.jsonl", "oops\n", "a, seed 0: no learning curve", "curves"),
        ("predictions.npz", "oops", "a, seed 0: not in the gallery", "gallery"),
    ],
)
def test_a_broken_file_costs_its_part_and_is_named(
    directory: Path, name: str, content: str, trouble: str, lost: str
) -> None:
    entry = trained(directory, "a", 0, 2.0)
    whole = data_of(page(build([entry], HEADER), directory))["tables"][0]
    assert entry.directory is not None
    (entry.directory / name).write_text(content)
    text = page(build([entry], HEADER), directory)
    found = data_of(text)["tables"][0]
    assert trouble in words(text)
    assert whole[lost]
    assert not found[lost]
    others = {"rows", "curves", "gallery", "confusions"} - {lost}
    assert all(found[key] for key in others)


def test_runs_without_a_directory_have_a_table_and_no_plots_of_their_files(directory: Path) -> None:
    found = data_of(page(build([done(make_run())], HEADER), directory))["tables"][0]
    assert found["rows"]
    assert not found["curves"]
    assert found["gallery"] is None


def test_confusions_are_whole_and_summed_over_the_seeds(directory: Path) -> None:
    entries = [trained(directory, "a", seed, 2.0) for seed in (0, 1)]
    (numbers,) = data_of(page(build(entries, HEADER), directory))["tables"][0]["confusions"].values()
    counts = np.zeros(len(NAMES) ** 2, dtype=int)
    counts[np.cumsum(numbers[::2])] = numbers[1::2]
    expected = sum(np.array(RunDir(e.directory).read_evaluation()["test"].confusion) for e in entries if e.directory)
    assert counts.reshape(len(NAMES), -1).tolist() == np.asarray(expected).tolist()


def test_many_confusion_matrices_of_many_classes_are_cut_to_the_best(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.html.payload.CONFUSION_NUMBERS", 10)
    entries = [trained(directory, name, 0, skill) for name, skill in (("a", 1.0), ("b", 3.0), ("c", 2.0))]
    board = build(entries, HEADER)
    kept = data_of(page(board, directory))["tables"][0]["confusions"]
    assert list(kept) == [row.configuration_id for row in board.tables[0].rows[:2]]


def test_large_evaluations_are_read_of_the_best_rows_only(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.html.reading.ROOM", 0)
    entries = [trained(directory, name, 0, 1.0 + place) for place, name in enumerate("abcde")]
    table = build(entries, HEADER).tables[0]
    reading = read(table)
    assert list(reading.evaluations) == [row.configuration_id for row in table.rows[:3]]
    assert len(reading.lessons) == 5


def evaluation_of(*curves: RocCurve, bins: tuple[CalibrationBin, ...] = (), f1: float | None = 0.5) -> Evaluation:
    names = [ClassMetrics(name, 10, 0.5, 0.5, f1, 0.9) for name in CLASSES]
    return Evaluation(((10, 0, 0), (0, 10, 0), (0, 0, 10)), tuple(names), curves, bins)


def test_a_roc_curve_is_read_at_the_grid_and_averaged() -> None:
    perfect, chance = RocCurve("cat", (0.0, 0.0, 1.0), (0.0, 1.0, 1.0)), RocCurve("dog", (0.0, 1.0), (0.0, 1.0))
    found = tested.roc([evaluation_of(perfect, chance), evaluation_of(RocCurve("cat", (0.0, 1.0), (0.0, 1.0)))])
    diagonal = (tested.GRID * 1000).round()
    assert found[1] == pytest.approx(diagonal, abs=1)
    assert found[0] == pytest.approx((1000 + diagonal) / 2, abs=1)
    assert found[tested.MACRO] == pytest.approx((np.array(found[0]) + found[1]) / 2, abs=1)
    assert tested.roc([]) == {}


def test_bins_of_several_seeds_are_pooled_by_their_counts() -> None:
    one = (CalibrationBin(0.0, 0.5, 0, None, None), CalibrationBin(0.5, 1.0, 10, 0.8, 0.6))
    other = (CalibrationBin(0.0, 0.5, 0, None, None), CalibrationBin(0.5, 1.0, 30, 0.9, 1.0))
    assert tested.calibration([evaluation_of(bins=one), evaluation_of(bins=other)]) == [[0.875, 0.9, 40]]


def test_a_class_has_no_number_where_a_seed_has_none() -> None:
    found = tested.per_class([evaluation_of(f1=0.5), evaluation_of(f1=None)])
    assert found[0] == [0.5, 0.5, None, 0.9]


def lesson(accuracies: list[float | None], usd: float | None, seconds: bool = True) -> Lesson:
    events = [
        Event(n, n, 100.0 + 2 * n, {"val/accuracy": value, **({"cost/train_seconds": 2.0 * n} if seconds else {})})
        for n, value in enumerate(accuracies, 1)
    ]
    return Lesson(tuple(events), 100.0, usd)


@pytest.mark.parametrize("seconds", [True, False])
def test_dollars_are_spread_over_the_seconds_and_end_at_the_bill(seconds: bool) -> None:
    found = curve([lesson([0.5, 0.7], 0.3, seconds), lesson([0.7, 0.8], 0.5, seconds)], "test/accuracy")
    assert found is not None
    assert found["x"] == {"epoch": [1, 2], "seconds": [2.0, 4.0], "usd": [0.2, 0.4]}
    assert found["y"] == {"val/accuracy": {"mean": [0.6, 0.75], "low": [0.5, 0.7], "high": [0.7, 0.8]}}


def test_a_curve_has_the_epochs_of_all_seeds_and_no_dollars_where_a_bill_is_unknown() -> None:
    found = curve([lesson([0.5, None, 0.8], 0.3), lesson([0.5, 0.6, 0.7, 0.8], None)], "test/accuracy")
    assert found is not None
    assert set(found["x"]) == {"epoch", "seconds"}
    assert found["x"]["epoch"] == [1, 2, 3]
    assert found["y"]["val/accuracy"]["mean"] == [0.5, None, 0.75]
    assert curve([], "test/accuracy") is None


def test_a_long_curve_is_thinned_and_keeps_its_end() -> None:
    found = curve([lesson([0.5] * 1001, None)], "test/accuracy")
    assert found is not None
    assert found["x"]["epoch"][-1] == 1001
    assert len(found["x"]["epoch"]) <= 81


def test_classes_that_are_confused_stand_together() -> None:
    counts = np.eye(6, dtype=np.int64) * 100
    for a, b in ((0, 5), (1, 3), (2, 4)):
        counts[a, b] = counts[b, a] = 60
    order = clustered([counts])
    assert sorted(order) == list(range(6))
    assert {frozenset(order[n : n + 2]) for n in (0, 2, 4)} == {frozenset({0, 5}), frozenset({1, 3}), frozenset({2, 4})}
    assert clustered([np.eye(2, dtype=np.int64)]) == [0, 1]


def answered(directory: Path, model: str, rows: list[list[float]], accuracy: float, ids: str = "x") -> Entry:
    """A run that gives these probabilities to images of class 0."""
    run = make_run(model)
    rundir = RunDir(directory / run.run_id)
    finished = done(run, accuracy, directory=rundir.path)
    names = np.array([f"{ids}{n}" for n in range(len(rows))])
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.array(rows, dtype=np.float32))
    rundir.write_predictions({"test": Predictions(names, np.zeros(len(rows), np.int64), log_probs)}, ("a", "b"))
    return finished


def test_the_gallery_has_what_models_disagree_on_and_what_they_are_sure_and_wrong_of(directory: Path) -> None:
    first = [[0.9, 0.1], [0.02, 0.98], [1.0, 0.0], [0.4, 0.6]]
    second = [[0.9, 0.1], [0.01, 0.99], [0.0, 1.0], [0.6, 0.4]]
    entries = [answered(directory, "a", first, 0.9), answered(directory, "b", second, 0.8)]
    found = gallery.choose(build(entries, HEADER).tables[0])
    assert found.disagreed == (2, 3)
    assert found.wrong == (1, 2, 3)
    document = gallery.document(found, {"x2": b"png"})
    assert [item["id"] for item in document["disagreed"]] == ["x2", "x3"]
    assert document["disagreed"][0]["answers"] == [[0, 1.0], [1, 1.0]]
    assert [item["png"] for item in document["disagreed"]] == [base64.b64encode(b"png").decode(), None]


def test_a_model_that_was_tested_on_other_images_is_left_out_and_named(directory: Path) -> None:
    entries = [
        answered(directory, "a", [[0.9, 0.1]], 0.9),
        answered(directory, "b", [[0.1, 0.9]], 0.8, ids="y"),
        answered(directory, "c", [[0.1, 0.9]], 0.7),
    ]
    found = gallery.choose(build(entries, HEADER).tables[0])
    assert len(found.answers) == 2
    assert found.troubles == ("b, seed 0: not in the gallery, it was tested on other images",)


def test_a_large_thumbnail_is_left_out(directory: Path) -> None:
    found = gallery.choose(build([answered(directory, "a", [[0.1, 0.9]], 0.9)], HEADER).tables[0])
    kept = gallery.pictures(found, "d", lambda digest, ids: {ids[0]: b"x" * 20_000})
    assert kept == {}


def test_thumbnails_are_the_decoded_images_of_the_cache(tmp_path: Path) -> None:
    cache = tmp_path / "кот #1"
    spec = DataSpec(source="synthetic", train_size=20, test_size=10, size=12)
    digest = datasets.inspect(spec, cache).digest
    assert thumbnails(cache, digest, ["nothing"]) == {}
    small = datasets.prepare(spec, image_size=12, channels=1, resize="crop", cache=cache)
    datasets.prepare(spec, image_size=8, channels=3, resize="crop", cache=cache)
    images, _, ids = prepared.arrays(small)
    found = thumbnails(cache, digest, [str(ids[25]), "nothing", str(ids[3])])
    assert list(found) == [str(ids[25]), str(ids[3])]
    for key, place in zip(found, (25, 3), strict=True):
        shown_ = np.asarray(Image.open(io.BytesIO(found[key])))
        assert shown_.tolist() == np.asarray(images[place])[:, :, 0].tolist()
    (small / "labels.npy").write_bytes(b"")
    again = thumbnails(cache, digest, [str(ids[3])])
    assert Image.open(io.BytesIO(again[str(ids[3])])).size == (8, 8)
    for path in (cache / "data").glob("*/data.json"):
        path.write_text("{")
    assert thumbnails(cache, digest, [str(ids[3])]) == {}


@pytest.mark.parametrize("colour", COLOURS)
def test_a_colour_of_the_dark_theme_has_a_contrast_of_3_and_its_hue(colour: str) -> None:
    found = colours.lightened(colour)
    assert colours.contrast(found, colours.DARK) >= 3
    assert colours.rules(looks(["a"])) == f".m0 {{ --c: light-dark(#3b2a9d, {colours.lightened('#3b2a9d')}); }}\n"
    assert len({colours.lightened(each) for each in COLOURS}) == len(COLOURS)


def test_several_data_sets_have_a_table_over_all_of_them(directory: Path) -> None:
    other = dataclasses.replace(HEADER.data[0], label="<other>", digest="ab" * 32)
    entries = [
        done(make_run(model, digest=data.digest), accuracy)
        for data, accuracies in ((HEADER.data[0], (0.9, 0.8)), (other, (0.7, 0.8)))
        for model, accuracy in zip("ab", accuracies, strict=True)
    ]
    board = build(entries, dataclasses.replace(HEADER, data=(HEADER.data[0], other)))
    told = words(page(board, directory))
    assert "Over all data sets configuration mean rank ↓ win rate ↑ times best a 1.50 50% 1 b 1.50 50% 1" in told
    assert "Over all data sets" not in words(page(build(entries[:2], HEADER), directory))
