"""Names that come with the data, through a real sweep to every place where somebody reads them: they are text there."""

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.html_support import chromium
from tests.test_cli import Command
from tests.vision_files import picture

pytestmark = pytest.mark.slow
NAMES = (
    "=cmd|' /C calc'!A0",
    "<script>document.title = 'harmed'</script>",
    "<img src=x onerror=\"document.title='harmed'\">",
    "../../../outside",
    "a|b `c` [d](http://x) **e**",
    "-rf",
    "кот 🐈",
    "n" * 200,
)
YAML = """
name: names
data: {source: csv, path: table.csv, image_size: 28}
defaults: {model: lenet5, epochs: 1, batch_size: 16}
matrix: {seed: [0, 1]}
launch: {profile: false}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep over images whose classes, and whose files, have such names."""
    outer = tmp_path_factory.mktemp("outer")
    path = outer / "deep" / "deeper" / "home"
    path.mkdir(parents=True)
    rows = []
    for label, name in enumerate(NAMES):
        for number in range(6):
            for split in ("train", "val", "test"):
                image = f"{name.replace('/', ':')[:100]} {split} {number}.png"
                picture(path / image)
                rows.append((image, name, split))
        assert label < len(NAMES)
    with (path / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    (path / "experiments.yaml").write_text(YAML)
    command = Command(path, tmp_path_factory.mktemp("cache"))
    before = set(outer.rglob("*"))
    command("run")
    new = {each for each in outer.rglob("*") if each not in before}
    assert new
    assert all(each.is_relative_to(path) for each in new), "something was written outside"
    return path


def test_every_class_is_in_the_results_by_its_own_name(home: Path) -> None:
    for path in (home / "results" / "names" / "runs").glob("*/evaluation.json"):
        rows = json.loads(path.read_text())["splits"]["test"]["per_class"]
        assert sorted(row["name"] for row in rows) == sorted(NAMES)


def test_no_cell_of_a_table_is_a_formula(home: Path) -> None:
    tables = list((home / "results" / "names").glob("*.csv"))
    assert tables
    for path in tables:
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell[:1] in "=+@\t\r" and cell]


def test_markdown_keeps_its_tables(home: Path) -> None:
    for path in (home / "results" / "names").glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert "<script>document" not in text
        assert "<img src=x" not in text
        assert "[d](http://x)" not in text


def test_the_page_runs_nothing_of_theirs(home: Path, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as browser:
        browser.get((home / "results" / "names" / "leaderboard.html").as_uri())
        assert browser.title != "harmed"
        text = browser.find_element("tag name", "body").get_attribute("textContent")
        assert text is not None
        assert "document.title = 'harmed'" in text


def test_mlflow_has_them_as_text(home: Path) -> None:
    with closing(sqlite3.connect(home / "mlflow.db")) as store:
        assert store.execute("SELECT count(*) FROM runs WHERE status = 'FINISHED'").fetchone()[0] >= 2
        (place,) = {row[0] for row in store.execute("SELECT artifact_location FROM experiments WHERE name = 'names'")}
    artifacts = [each for each in Path(place.removeprefix("file://")).rglob("*") if each.is_file()]
    assert artifacts
    assert not [each for each in artifacts if "outside" in each.name or "script" in each.name]
