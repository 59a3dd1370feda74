"""`data inspect`: what is to be known of images before anything is trained on them."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from benchmark.data import datasets
from benchmark.data.datasets import load
from benchmark.data.duplicates import find, split_of
from benchmark.data.telling import counted, told
from benchmark.datacard import DataCard
from benchmark.inspecting import inspect, write_cards
from benchmark.run import DataSpec
from reports.contact_sheet import contact_sheet

Told = list[tuple[str, int, int]]


def fill(root: Path, **classes: int) -> Path:
    """Images of random colours, ``classes`` says how many; each has a size of its own."""
    generator = np.random.default_rng(0)
    for name, number in classes.items():
        (root / name).mkdir(parents=True)
        for index in range(number):
            pixels = generator.integers(256, size=(8 + index % 3, 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return fill(tmp_path / "кот #1 <b>", cats=30, dogs=10)


def card_of(folder: Path, cache: Path, **keys: object) -> DataCard:
    return DataCard.of(DataSpec("folder", path=str(folder), **keys), cache)  # type: ignore[arg-type]


def test_files_that_are_no_images_are_counted(photos: Path, tmp_path: Path) -> None:
    assert not any("passed over" in each for each in card_of(photos, tmp_path / "cache").warnings)
    for name in ("a.txt", "b.TXT", "c", "d.<b>", ".hidden"):
        (photos / "cats" / name).write_text("")
    (warning,) = (each for each in card_of(photos, tmp_path / "cache").warnings if "passed over" in each)
    assert warning == "4 files of other kinds passed over: 2 .txt, 1 without a suffix, 1 of other names"


def test_a_card_counts_classes_splits_and_sizes(photos: Path, tmp_path: Path) -> None:
    card = card_of(photos, tmp_path / "cache")
    assert {name: sum(each) for name, each in card.counts.items()} == card.facts.sizes
    assert [sum(each) for each in zip(*card.counts.values(), strict=True)] == [30, 10]
    assert sum(card.shapes.values()) == 40
    assert set(card.shapes) == {(8, 10, 3), (9, 10, 3), (10, 10, 3)}
    assert card.imbalance == pytest.approx(3.0, abs=0.3)
    assert any("class_weights: balanced" in each for each in card.warnings)
    text = "\n".join(card.lines)
    assert "40 images of 2 classes" in text
    assert "10 × 8 to 10 × 10 pixels, most often 10 × 8" in text
    assert card.facts.digest in text


def test_copies_are_told_with_where_they_stand(photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "cats" / "0.png", photos / "cats" / "copy.png")
    card = card_of(photos, tmp_path / "cache")
    assert [{id_ for _, _, id_ in group} for group in card.duplicates.groups] == [{"cats/0.png", "cats/copy.png"}]
    assert card.duplicates.leaks == card.duplicates.conflicts == ()
    assert any("more than once; splits keep the copies together" in each for each in card.warnings)
    shutil.copy(photos / "cats" / "0.png", photos / "dogs" / "cat.png")
    card = card_of(photos, tmp_path / "cache")
    assert len(card.duplicates.conflicts) == 1
    assert any("more than one class" in each and "dogs/cat.png" in each for each in card.warnings)


def test_leaks_between_splits_are_shown_by_the_card_that_a_run_would_refuse(tmp_path: Path) -> None:
    for part in ("train", "test"):
        fill(tmp_path / "photos" / part, cats=6, dogs=6)
    card = card_of(tmp_path / "photos", tmp_path / "cache")
    assert len(card.duplicates.leaks) == 12
    (warning,) = (each for each in card.warnings if "more than one split; a run refuses that" in each)
    assert warning.count(" = ") == 10
    assert "and 2 more" in warning


def test_the_page_is_markdown_with_its_sheet_beside_it(photos: Path, tmp_path: Path) -> None:
    (photos / "cats").rename(photos / "=cmd|'x' <script>")
    path = card_of(photos, tmp_path / "cache").write(tmp_path / "out")
    html = MarkdownIt("commonmark").enable("table").render(path.read_text(encoding="utf-8"))
    assert "<script>" not in html
    assert html.count("<tr>") == 4
    name = re.search(r'<img src="([^"]+)"', html)
    assert name
    with Image.open(path.parent / name[1]) as sheet:
        assert sheet.width > 400
        assert len(np.unique(np.asarray(sheet.convert("L")))) > 20


def test_embedded_data_have_a_card_too(tmp_path: Path) -> None:
    card = DataCard.of(DataSpec("synthetic", train_size=60, test_size=20), tmp_path / "cache")
    assert card.lines[2] == "sizes: 28 × 28 pixels, all; grey"
    assert card.warnings == ()
    assert "Nothing that should worry you" in card.markdown("x.png")


def test_splits_are_told_in_the_source_s_own_order(photos: Path, tmp_path: Path) -> None:
    data = load(DataSpec("folder", path=str(photos)), tmp_path / "cache")
    parts = split_of(data)
    assert [int((parts == part).sum()) for part in range(3)] == list(data.sizes.values())
    assert (parts[data.order][: data.sizes["train"]] == 0).all()
    assert find(data).groups == ()


def test_an_experiment_with_several_data_sets_has_a_card_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_IMAGE_BENCHMARK_CACHE", str(tmp_path / "cache"))
    yaml = tmp_path / "two.yaml"
    yaml.write_text(
        "name: two\nmatrix: {model: lenet5, data: [{source: synthetic, train_size: 60, test_size: 20}, "
        "{source: synthetic, train_size: 80, test_size: 20, name: Другие}]}\n"
    )
    found = inspect(yaml, (), tmp_path / "results")
    assert len({each.path for each in found}) == 2
    assert all(each.path.exists() for each in found)
    json.dumps([each.document for each in found])


def test_a_card_is_written_once_for_the_same_images_and_again_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_IMAGE_BENCHMARK_CACHE", str(tmp_path / "cache"))
    first, other = (DataSpec("synthetic", train_size=size, test_size=20) for size in (60, 80))
    facts = {spec: datasets.inspect(spec, tmp_path / "cache") for spec in (first, other)}
    write_cards({first: facts[first]}, tmp_path)
    card = tmp_path / "data_card.md"
    kept = f"{card.read_text()}by hand\n"
    card.write_text(kept)
    write_cards({first: facts[first]}, tmp_path)
    assert card.read_text() == kept
    write_cards({other: facts[other]}, tmp_path)
    assert facts[other].digest in card.read_text()
    write_cards(facts, tmp_path)
    assert len(list(tmp_path.glob("data_card-*.md"))) == 2


def test_reading_is_told_once_for_unchanged_images(photos: Path, tmp_path: Path) -> None:
    heard: Told = []
    with told(lambda *each: heard.append(each)):
        card_of(photos, tmp_path / "cache")
    assert heard == [(what, number, 40) for what in ("reading images", "decoding images") for number in range(1, 41)]
    heard.clear()
    with told(lambda *each: heard.append(each)):
        card_of(photos, tmp_path / "cache")
    assert heard == []
    assert list(counted("ab", 2, "letters")) == ["a", "b"]


def test_a_sheet_has_room_for_any_class() -> None:
    tall, grey = np.zeros((90, 10, 3), np.uint8), np.full((4, 4, 1), 200, np.uint8)
    rows = {"a very long name of a class that would take all the room": [tall, grey] * 8, "пустой": []}
    with Image.open(io.BytesIO(contact_sheet(rows, 8))) as sheet:
        assert sheet.width < 1200
    assert contact_sheet(rows, 8) == contact_sheet(rows, 8)


def test_the_command_writes_the_card_of_a_folder_and_names_what_cannot_be_read(photos: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmark",
        "data",
        "inspect",
        str(photos),
        "--results",
        str(tmp_path / "results"),
    ]
    root = Path(__file__).resolve().parent.parent
    variables = {
        "PYTHONPATH": str(root),
        "PATH": "/usr/bin:/bin",
        "TORCH_IMAGE_BENCHMARK_CACHE": str(tmp_path / "cache"),
    }
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert "40 images of 2 classes" in done.stdout
    assert (tmp_path / "results" / photos.name / "data_card.md").exists()
    document = json.loads(subprocess.run([*command, "--json"], env=variables, capture_output=True, check=True).stdout)
    assert document[0]["classes"] == ["cats", "dogs"]
    (photos / "dogs" / "1.png").write_bytes(b"no image")
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{photos / 'dogs' / '1.png'}: not an image" in done.stderr
