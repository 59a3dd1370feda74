"""Results as DataFrames, and a leaderboard that shows itself: of a real sweep, while it runs, and of hostile names."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

import benchmark
from benchmark.config.resolved import told
from benchmark.frames import results
from benchmark.loaded import Loaded
from benchmark.preparing import UsageProblem
from benchmark.rundir import BrokenFile, RunDir
from benchmark.shown import Shown
from reports.exhibit import exhibits
from reports.leaderboard import build
from tests.report_support import HEADER, done, failed, make_run, pending
from tests.test_cli import Command
from tests.test_render import NASTY

YAML = """
name: tiny
description: "Two rates: one that learns, and one that does not | <b>"
data: {source: synthetic, train_size: 300, test_size: 100, classes: 3}
defaults: {epochs: 2, clip_grad: 1.0}
matrix:
  - {model: lenet5, lr: 3e-3, seed: [0, 1]}
  - {model: lenet5, lr: 1e30, seed: 0, clip_grad: null}
report: {primary: test/f1_macro}
launch: {profile: false}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Command:
    home = tmp_path_factory.mktemp("кот #1")
    (home / "experiments.yaml").write_text(YAML, encoding="utf-8")
    command = Command(home, home / "cache")
    command("run", "--workers", "1", code=1)
    return command


@pytest.fixture
def sweep(swept: Command, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    monkeypatch.chdir(swept.home)
    monkeypatch.setenv("TORCH_IMAGE_BENCHMARK_CACHE", swept.environment["TORCH_IMAGE_BENCHMARK_CACHE"])
    return benchmark.load()


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = "import sys, benchmark; print(sorted({'pandas', 'numpy', 'torch', 'click'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_results_have_a_row_for_each_run_with_its_keys_and_its_metrics(sweep: Loaded, swept: Command) -> None:
    frame = sweep.results().set_index("run_id")
    assert sorted(frame["status"]) == ["done", "done", "failed"]
    assert list(frame.columns[:7]) == [
        "configuration_id", "configuration", "status", "failure", "model", "seed", "data",
    ]  # fmt: skip
    assert set(frame.columns[7:9]) == {"lr", "clip_grad"}, "what varies comes first"
    for run_id, row in frame.iterrows():
        rundir = RunDir(swept.home / "results" / "tiny" / "runs" / str(run_id))
        run, result = rundir.read_run(), rundir.read_result()
        assert (row["model"], row["seed"], row["configuration_id"]) == (run.model, run.seed, run.configuration_id)
        assert (row["lr"], row["epochs"], row["optimizer"]) == (run.lr, 2, "adamw")
        if result is None:
            assert row["failure"] == "diverged"
            assert np.isnan(row["test/accuracy"])
            continue
        for name, value in result.metrics.items():
            assert row[name] == value or (value is None and np.isnan(row[name])), name
    assert frame["test/accuracy"].dtype == np.float64
    assert "3 runs (" in repr(sweep)


@pytest.mark.slow
def test_predictions_are_those_that_the_run_has_kept(sweep: Loaded, swept: Command) -> None:
    runs = sweep.results()
    best = runs[runs["status"] == "done"].sort_values(["val/accuracy", "seed"], ascending=[False, True]).iloc[0]
    kept = RunDir(swept.home / "results" / "tiny" / "runs" / best["run_id"])
    for split in ("test", "val"):
        found, recorded = sweep.predictions("best", split), kept.read_predictions(split)
        assert found["correct"].mean() == pytest.approx(best[f"{split}/accuracy"])
        assert found["log_loss"].mean() == pytest.approx(best[f"{split}/log_loss"], rel=1e-5)
        assert list(found["id"]) == list(recorded.ids)
        shares = sweep.probabilities(best["run_id"][:6], split)
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
        assert list(shares.idxmax(axis=1)) == list(found["predicted"])
        assert list(shares.max(axis=1)) == list(found["confidence"])
        names = kept.read_evaluation()[split].per_class
        assert list(shares.columns) == [each.name for each in names]
        assert [names[label].name for label in recorded.labels] == list(found["true"])


@pytest.mark.slow
def test_curves_have_a_row_for_each_epoch_of_each_run(sweep: Loaded, swept: Command) -> None:
    frame = sweep.curves()
    for run_id, rows in frame.groupby("run_id"):
        events = RunDir(swept.home / "results" / "tiny" / "runs" / str(run_id)).read_events()
        assert list(rows["epoch"]) == [each.epoch for each in events]
        assert list(rows["val/accuracy"]) == [each.metrics["val/accuracy"] for each in events]
    assert len(frame[frame["configuration"].str.contains("0.003|3e-3")]) == 4


@pytest.mark.slow
def test_the_leaderboard_shows_the_table_of_the_page(sweep: Loaded, swept: Command) -> None:
    shown = sweep.leaderboard()
    page = (swept.home / "results" / "tiny" / "leaderboard.md").read_text(encoding="utf-8")
    (table,) = tables(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(page))[:1]
    (found,) = tables(shown._repr_html_())[:1]
    assert found == table, "cell by cell, the text of links included"
    assert str(shown) == shown._repr_markdown_()
    assert "### Not ranked" in str(shown)
    saved = pd.read_csv(swept.home / "results" / "tiny" / "leaderboard.csv")
    rows = shown.rows
    assert list(rows.columns) == list(saved.columns)
    assert list(rows["test/f1_macro"].dropna()) == list(saved["test/f1_macro"].dropna())


@pytest.mark.slow
def test_a_directory_of_results_is_enough(sweep: Loaded, swept: Command, tmp_path: Path) -> None:
    """Copied away from its YAML, its images and the cache."""
    copy = tmp_path / "elsewhere" / "tiny"
    shutil.copytree(swept.home / "results" / "tiny", copy)
    for other in (benchmark.load(copy), benchmark.load(results=copy)):
        pd.testing.assert_frame_equal(other.results(), sweep.results())
        pd.testing.assert_frame_equal(other.curves(), sweep.curves())
        pd.testing.assert_frame_equal(other.predictions(), sweep.predictions())
        assert tables(other.leaderboard()._repr_html_())[0] == tables(sweep.leaderboard()._repr_html_())[0]
        assert "test n = 100" in str(other.leaderboard())
    (copy / "leaderboard.json").unlink()
    assert "test n" not in str(benchmark.load(copy).leaderboard())
    with pytest.raises(UsageProblem, match=r"no journal.db\); one of its directories is: tiny"):
        benchmark.load(copy.parent)
    with pytest.raises(UsageProblem, match="`python -m benchmark run` makes them"):
        benchmark.load(tmp_path)
    for broken in ("report: {", "name: 3", ""):
        (copy / "experiment.yaml").write_text(broken, encoding="utf-8")
        with pytest.raises(BrokenFile, match=r"experiment\.yaml, leaderboard\.json or journal\.db is not"):
            benchmark.load(copy)


@pytest.mark.slow
def test_what_cannot_be_had_is_told(sweep: Loaded, tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="'train' has no predictions; it is test or val"):
        sweep.predictions("best", "train")  # type: ignore[arg-type]
    diverged = sweep.results().set_index("status").loc["failed", "run_id"]
    with pytest.raises(UsageProblem, match="is failed: it has no result"):
        sweep.predictions(diverged)
    with pytest.raises(UsageProblem, match="nothing has run yet in "):
        benchmark.load(results=tmp_path)
    broken = tmp_path / "predictions.npz"
    broken.write_bytes(b"PK")
    with pytest.raises(BrokenFile, match="names no classes"):
        RunDir(tmp_path).read_classes()


@pytest.mark.slow
def test_results_can_be_looked_at_while_the_sweep_runs(swept: Command, tmp_path: Path) -> None:
    """In the same process from beginning to end: every call sees what has come since."""
    yaml = YAML.replace("seed: [0, 1]", "seed: [0, 1, 2, 3]").replace("epochs: 2", "epochs: 6")
    (tmp_path / "experiments.yaml").write_text(yaml, encoding="utf-8")
    place, seen = tmp_path / "results" / "tiny", set()
    deadline = time.monotonic() + 300
    with Command(tmp_path, swept.home / "cache").start("run", "--workers", "1") as running:
        while running.poll() is None and time.monotonic() < deadline:
            if (place / "journal.db").exists():
                seen |= looked_at(place)
            time.sleep(0.2)
        running.kill()
    assert {done for done, _ in seen} > {0, 1}, "finished runs came one after the other"
    assert any(done == 0 and epochs for done, epochs in seen), "epochs of a run that is under way"


def looked_at(place: Path) -> set[tuple[int, int]]:
    """How many runs are done and how many epochs have ended; nothing before the sweep has planned its runs."""
    try:
        live = benchmark.load(place)
        counts, epochs = live.results()["status"].value_counts(), len(live.curves())
    except UsageProblem:
        return set()
    assert counts.sum() == 5
    assert str(live.leaderboard()).startswith("5 runs")
    return {(int(counts.get("done", 0)), epochs)}


class Cells(HTMLParser):
    """Texts of the cells of every table, and every tag with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[list[list[str]]] = []
        self.tags: set[tuple[str, tuple[str, ...]]] = set()
        self.inside = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add((tag, tuple(sorted(name for name, _ in attributes))))
        if tag == "table":
            self.found.append([])
        elif tag == "tr":
            self.found[-1].append([])
        elif tag in ("td", "th"):
            self.found[-1][-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found[-1][-1][-1] += data


def parsed(text: str) -> Cells:
    cells = Cells()
    cells.feed(text)
    return cells


def tables(text: str) -> list[list[list[str]]]:
    return parsed(text).found


def test_names_from_outside_are_shown_as_they_are_and_make_no_tags() -> None:
    entries = [done(make_run(name, lr=0.1), 0.5 + 0.01 * n, architecture=name) for n, name in enumerate(NASTY)]
    entries += [failed(make_run("x", lr=0.2), message="<img src=x onerror=alert(1)> [x](javascript:alert(1))")]
    entries += [pending(make_run("y<script>"))]
    board = build(entries, HEADER)
    page = parsed(Shown(board, exhibits(board))._repr_html_())
    plain = {"style", "div", "p", "table", "thead", "tbody", "tr", "th", "td", "strong", "s", "br", "sub", "h3", "code"}
    assert {tag for tag, _ in page.tags} <= plain
    assert {name for _, names in page.tags for name in names} <= {"style", "class"}
    models = [row[1] for row in page.found[0][1:]]
    for name in NASTY:
        assert any(cell.startswith(name.replace("\n", " ")) for cell in models), name


def test_a_run_that_has_not_run_has_no_numbers_and_a_column_that_no_run_has_is_left_out() -> None:
    board = build([done(make_run(lr=0.1), 0.5), pending(make_run(lr=0.2)), failed(make_run("vgg11"))], HEADER)
    frame = results(board)
    assert list(frame["status"]) == ["done", "pending", "failed"]
    assert frame["test/accuracy"].isna().tolist() == [False, True, True]
    assert list(frame["configuration"]) == ["lenet5, lr 0.1", "lenet5, lr 0.2", "vgg11"]
    assert "test/f1_macro" not in frame
    assert not frame.columns.duplicated().any()


def test_a_resolved_experiment_says_what_it_is_called_and_ranked_by() -> None:
    text = 'name: "a\\u2028: b"\ndefaults:\n  name: 3\nreport: {"primary": "test/accuracy"}\n'
    assert told(text) == {"name": "a\u2028: b", "report": {"primary": "test/accuracy"}}
    with pytest.raises(ValueError, match="Expecting"):
        told("report: {\n")
    assert json.dumps(told("")) == "{}"
