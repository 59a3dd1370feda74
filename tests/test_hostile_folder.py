"""One real sweep over a folder whose classes and files have names that deceive, or are no text; and its results,
damaged, as commands find them.  What else names may do is in `test_hostile_names.py`."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.test_cli import Command
from tests.yaml_support import DECEIVING

pytestmark = pytest.mark.slow

CLASSES = (
    "=cmd|' C calc'!A0", "<script>alert(1)<", "x" * 200, "a\nb|`c`|*d*", "\u202egnp.exe", "e\u0301", "👩\u200d👧",
    "con", "-rf", "%2e%2e", "@SUM(1)", "$(touch evil) `touch evil`", "a'\"\\b", "[x](javascript:alert(1))",
    "\x1b[31mred", "{{7*7}}${x}", "' OR 1=1; --",
)  # fmt: skip
FILE = "{} =1+1 <img src=x onerror=alert(1)> | `x` \u202e\n.png"
YAML = """\
name: tiny
description: "=1+1 <script>alert(2)</script> | `x`"
data: {source: folder, path: ./photos, image_size: 28, channels: 1}
defaults: {epochs: 1, batch_size: 32}
matrix: {model: lenet5, lr: [1e-3, 1e-2]}
launch: {workers: 1, profile: false}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Command:
    home = tmp_path_factory.mktemp("home")
    chance = np.random.default_rng(0)
    (home / "photos").mkdir()
    for name in [*map(os.fsencode, CLASSES), b"bytes\xff\xfe"]:
        directory = os.fsencode(home / "photos") + b"/" + name
        os.mkdir(directory)  # noqa: PTH102 - a name of bytes
        for number in range(14):
            image = Image.fromarray(chance.integers(0, 256, (12, 12), dtype=np.uint8))
            with open(directory + b"/" + FILE.format(number).encode(), "wb") as file:  # noqa: PTH123 - bytes
                image.save(file, "PNG")
    (home / "experiments.yaml").write_text(YAML)
    command = Command(home, tmp_path_factory.mktemp("cache"))
    command.said = command("run")
    return command


@pytest.fixture
def results(swept: Command) -> Path:
    """As the sweep left them, after each test."""
    place, kept = swept.home / "results", swept.home / "kept"
    shutil.copytree(place, kept)
    yield place / "tiny"
    shutil.rmtree(place)
    kept.rename(place)


def test_names_reach_the_terminal_and_every_text_without_what_deceives(swept: Command, results: Path) -> None:
    texts = [path for path in results.rglob("*") if path.suffix in {".md", ".html", ".csv", ".json", ".svg", ".yaml"}]
    assert len(texts) > 8
    for path in texts:
        assert not DECEIVING.search(path.read_text().replace("\t", " ")), path
    assert not DECEIVING.search(swept.said.replace("\t", " "))
    assert not list(swept.home.rglob("evil"))
    assert all(path.name.isascii() for path in results.rglob("*"))


def _edit(results: Path, statement: str) -> None:
    with closing(sqlite3.connect(results / "journal.db")) as database:
        database.execute(statement)
        database.commit()


def test_commands_refuse_damaged_results_or_pass_over_them_and_lose_nothing(swept: Command, results: Path) -> None:
    """``Command`` asserts the code and that there is no traceback."""
    runs = sorted((results / "runs").iterdir())
    (runs[0] / "predictions.npz").write_text("garbage")
    (runs[0] / "evaluation.json").write_text("[" * 100_000)
    said = swept("report")
    assert "leaderboard:" in said
    assert "predictions.npz" in (results / "leaderboard.md").read_text()
    said = swept("export", runs[0].name, code=1)
    assert "no archive of arrays" in said
    assert "pickle" not in said
    _edit(results, "UPDATE outcomes SET document = '{}'")
    assert "journal.db: a row is not what this program writes" in swept("status", code=3)
    _edit(results, "PRAGMA user_version = 9")
    assert "version 9; this program reads 1" in swept("run", code=3)
    assert all((run / "result.json").exists() for run in runs)
    assert "recursion" in _diff_of_garbage(swept, results)


def _diff_of_garbage(swept: Command, results: Path) -> str:
    (swept.home / "garbage.json").write_text("[" * 100_000)
    return swept("diff", str(swept.home / "garbage.json"), str(results / "leaderboard.json"), code=2)


def test_of_a_run_directory_that_is_a_link_only_the_link_is_removed(swept: Command, results: Path) -> None:
    precious = swept.home / "elsewhere" / "precious"
    run = min((results / "runs").iterdir())
    shutil.move(run, precious.parent)
    precious.write_text("x")
    run.symlink_to(precious.parent)
    assert "2 of 2" in swept("status") or "2 done" in swept("status")
    swept("rm", run.name, "--yes")
    assert not run.is_symlink()
    assert precious.read_text() == "x"
