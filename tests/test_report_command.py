"""`report`: limits, a README's block, and several directories of results, through the command itself."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmark.cli_report import LIMITS
from reports.limits import KINDS
from reports.readme import BEGIN, END
from tests.test_cli import Command

YAML = """name: tiny
data: {source: synthetic, train_size: 60, test_size: 60}
defaults: {epochs: 1, batch_size: 16, image_size: 32}
matrix: {model: [lenet5, small/densenet], seed: [0, 1]}
"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Command:
    home = tmp_path_factory.mktemp("кот #1")
    (home / "experiments.yaml").write_text(YAML, encoding="utf-8")
    command = Command(home, home / "cache")
    command("run", "--workers", "1")
    return command


def test_the_options_are_those_limits_that_there_are() -> None:
    assert {kind: each.example for kind, each in KINDS.items()} == {
        kind: example for kind, (_, example) in LIMITS.items()
    }


def test_the_best_within_limits_is_named(swept: Command) -> None:
    told = swept("report", "--max-params", "100k", "--max-latency", "10s")
    assert "best with parameters at most 0.10 M" in told or "best with latency" in told
    assert ": lenet5, " in told
    assert "1 of 2 fit" in told
    document = json.loads(swept("report", "--json", "--max-params", "100k"))
    (answer,) = document["limits"]
    (row,) = [row for row in document["rows"] if row["model"] == "lenet5"]
    assert (answer["best"], answer["fitting"]) == (row["configuration_id"], [row["configuration_id"]])
    assert "none of 2 configurations keeps" in swept("report", "--max-params", "10")


def test_a_limit_without_a_known_unit_is_an_error_and_nothing_is_written(swept: Command) -> None:
    page = swept.home / "results" / "tiny" / "leaderboard.md"
    before = page.stat().st_mtime_ns
    told = swept("report", "--max-latency", "soon", code=2)
    assert "--max-latency 'soon' is not a positive number in us, µs, ms, s, such as 20ms" in told
    assert page.stat().st_mtime_ns == before


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_readmes_block_is_replaced_and_all_else_stays(swept: Command, newline: str) -> None:
    readme = swept.home / "READ ме.md"
    above, below = f"# My project{newline}{newline}text `|` ", f" more{newline}{newline}no line end at the end"
    readme.write_bytes(f"{above}{BEGIN}old{newline}{END}{below}".encode())
    assert "readme: READ ме.md" in swept("report", "--readme", "READ ме.md")
    once = readme.read_bytes()
    text = once.decode()
    assert text.startswith(f"{above}{BEGIN}{newline}")
    assert text.endswith(f"{END}{below}")
    assert "**Best:** " in text
    assert "](results/tiny/runs/" in text
    assert "![quality against training time](results/tiny/figures/quality-vs-training.svg)" in text
    assert (swept.home / "results/tiny/figures/quality-vs-training.svg").exists()
    assert text.replace("\r\n", "").count("\r") == 0
    assert (newline == "\r\n") == ("\r\n" in text)
    swept("report", "--readme", "READ ме.md")
    assert readme.read_bytes() == once


def test_links_that_would_not_hold_are_left_out(swept: Command) -> None:
    place = swept.home / "docs"
    place.mkdir(exist_ok=True)
    (place / "page.md").write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    swept("report", "--readme", "docs/page.md")
    assert "](" not in (place / "page.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "why"),
    [("nothing", "0 times"), (f"{BEGIN}{END}{BEGIN}", "2 times"), (f"{BEGIN}", "0 times"),
     (f"{END} {BEGIN}", "stands before")],
)  # fmt: skip
def test_a_readme_without_a_place_for_the_block_stays_as_it_is(swept: Command, text: str, why: str) -> None:
    readme = swept.home / "bad.md"
    readme.write_text(text, encoding="utf-8")
    told = swept("report", "--readme", "bad.md", code=2)
    assert "bad.md: " in told
    assert why in told
    assert readme.read_text(encoding="utf-8") == text


def test_a_missing_readme_is_an_error(swept: Command) -> None:
    assert "none.md" in swept("report", "--readme", "none.md", code=2)


def other_directory(swept: Command, name: str, yaml: str) -> Path:
    """Results of another sweep."""
    home = swept.home / name
    home.mkdir()
    (home / "experiments.yaml").write_text(yaml, encoding="utf-8")
    elsewhere = Command(home, swept.home / "cache")
    elsewhere("run", "--workers", "1")
    return home / "results" / "tiny"


def test_directories_of_results_become_one_leaderboard(swept: Command) -> None:
    more = YAML.replace("seed: [0, 1]", "seed: [1, 2]")
    there = other_directory(swept, "there", more)
    told = swept("report", "results/tiny", str(there), "--out", "both")
    assert "leaderboard: both/leaderboard.md" in told
    document = json.loads((swept.home / "both" / "leaderboard.json").read_text(encoding="utf-8"))
    assert {row["model"]: (row["n_seeds"], row["planned_seeds"]) for row in document["rows"]} == {
        "lenet5": (3, 3),
        "small/densenet": (3, 3),
    }
    page = (swept.home / "both" / "leaderboard.md").read_text(encoding="utf-8")
    assert page.startswith("# tiny\n")
    assert all(row["metrics"]["test/accuracy"]["interval"]["over"] == "seeds and images" for row in document["rows"])


def test_different_test_images_under_one_name_are_refused(swept: Command) -> None:
    there = other_directory(swept, "other data", YAML.replace("test_size: 60", "test_size: 70"))
    copy = swept.home / "copy"
    shutil.copytree(there, copy)
    label = json.loads((swept.home / "results/tiny/leaderboard.json").read_text(encoding="utf-8"))["data"][0]["label"]
    board = json.loads((copy / "leaderboard.json").read_text(encoding="utf-8"))
    board["data"][0]["label"] = label
    (copy / "leaderboard.json").write_text(json.dumps(board), encoding="utf-8")
    told = swept("report", "results/tiny", "copy", "--out", "mixed", code=2)
    assert "different images under the name" in told
    assert not (swept.home / "mixed").exists()


def test_one_run_with_two_results_is_refused(swept: Command) -> None:
    copy = swept.home / "changed"
    shutil.copytree(swept.home / "results" / "tiny", copy)
    with closing(sqlite3.connect(copy / "journal.db", isolation_level=None)) as db:
        db.execute("UPDATE outcomes SET document = replace(document, '\"test/log_loss\": ', '\"test/log_loss\": 1')")
    told = swept("report", "results/tiny", "changed", "--out", "mixed", code=2)
    assert "have different results of run" in told


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(["results/tiny", "results/tiny"], "--out DIRECTORY"),
     (["results/tiny", "experiments.yaml", "--out", "x"], "not a directory"),
     (["a.yaml", "b.yaml"], "have to be directories"),
     (["--out", "x"], "--out is for"),
     (["empty", "--out", "x"], "empty")],
)  # fmt: skip
def test_places_that_do_not_fit_together_are_errors(swept: Command, arguments: list[str], why: str) -> None:
    (swept.home / "empty").mkdir(exist_ok=True)
    assert why in swept("report", *arguments, code=2)
    assert not (swept.home / "x").exists()
