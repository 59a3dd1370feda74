"""The written leaderboard: the page, the CSV and the JSON."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reports.documents import document, table_text
from reports.evidence import Evidence
from reports.exhibit import Exhibit, exhibits
from reports.leaderboard import Entry, Header, Leaderboard, build
from reports.metrics import metric
from reports.ordering import clustered
from reports.pictures import pictures
from reports.render import write
from reports.style import looks
from reports.text import attribute, code, markdown, one_line
from tests.report_support import DATA, HEADER, done, failed, make_run, pending, write_evidence

GOLDEN = Path(__file__).parent / "golden" / "leaderboard.md"
GITHUB = MarkdownIt("commonmark").enable(["table", "strikethrough"])
NASTY = (
    "=cmd|x",
    "<script>alert(1)</script>",
    "a|b",
    "[x](http://y)",
    "`tick`",
    "*b* _i_ __b__",
    "$x$",
    "a\nb",
    "&amp;",
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "кот #1" / "tour"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the leaderboard of ``fixed_entries``."""
    directory = tmp_path_factory.mktemp("кот #1") / "tour"
    write(build(fixed_entries(directory), HEADER), directory)
    return directory


def fixed_entries(directory: Path) -> list[Entry]:
    """Two learning rates of one model, another model, seeds that failed or are to come."""
    quality = {"model/parameters": 61706.0, "model/macs": 4.2e5, "cost/train_seconds": 12.5}
    speed = {"speed/latency_ms_p50": 0.35, "speed/images_per_second": 9012.3, "speed/batch_size": 256.0}
    slow = {"speed/latency_ms_p50": 3.1, "speed/images_per_second": 420.0, "speed/batch_size": 256.0}
    entries = []
    for seed, accuracy in ((0, 0.9), (1, 0.92)):
        run = make_run("resnet18", seed, lr=1e-3)
        more = {**quality, "model/parameters": 11.2e6, "model/macs": 3.7e7, "cost/train_seconds": 59.0}
        entries.append(
            done(run, accuracy, directory=directory / "runs" / run.run_id, metrics=more, profile=slow,
                 architecture="ResNet-18", notes=("input enlarged from 28 to 32",))
        )  # fmt: skip
    for seed, accuracy in ((0, 271 / 300), (1, 272 / 300)):
        run = make_run("lenet5", seed, lr=2e-3)
        where = directory / "runs" / run.run_id
        entries.append(done(run, accuracy, directory=where, metrics=quality, profile=speed))
    half = make_run("lenet5", 0, lr=0.1)
    undefined = {"test/roc_auc_macro": "one class only"}
    bad = {**quality, "test/roc_auc_macro": None}
    where = directory / "runs" / half.run_id
    entries.append(done(half, 0.4, directory=where, metrics=bad, undefined=undefined, profile=speed))
    entries.append(failed(make_run("lenet5", 1, lr=0.1)))
    entries.append(failed(make_run("a|b <script>", 0), "oom", "more than `8 GiB`\nwanted | by $x$"))
    entries += [pending(make_run("a|b <script>", seed)) for seed in (1, 2)]
    return entries


def test_the_page_is_the_golden_one(written: Path) -> None:
    """After a change that is meant: REGENERATE_GOLDEN=1 python -m pytest tests/test_render.py, then read the diff."""
    text = (written / "leaderboard.md").read_text(encoding="utf-8")
    if os.environ.get("REGENERATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_writing_again_gives_the_same_bytes(directory: Path) -> None:
    entries = [done(make_run(seed=seed), directory=directory / str(seed)) for seed in (0, 1)]
    write(build(entries, HEADER), directory)
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    write(build(entries, HEADER), directory)
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_every_image_and_run_that_the_page_links_to_is_there(written: Path) -> None:
    text = (written / "leaderboard.md").read_text(encoding="utf-8")
    targets = re.findall(r'src="([^"]+)"|\]\(([^)]+)\)', text)
    assert len(targets) >= 6
    assert all((written / (a or b)).exists() for a, b in targets)


@pytest.mark.parametrize("primary", ["test/accuracy", "test/log_loss", "val/f1_macro"])
def test_a_failed_run_stands_in_all_three_files_with_its_reason(directory: Path, primary: str) -> None:
    lost = failed(make_run("vgg11_bn", 3), "oom", "out of memory while testing")
    write(build([done(make_run()), lost], Header("e", (DATA,), primary)), directory)
    for name in ("leaderboard.md", "leaderboard.json", "leaderboard.csv"):
        text = (directory / name).read_text(encoding="utf-8")
        assert "vgg11_bn" in text
        assert "out of memory while testing" in text
    assert lost.log in (directory / "leaderboard.md").read_text(encoding="utf-8")


def test_a_leaderboard_without_any_result_is_written(directory: Path) -> None:
    write(build([failed(make_run()), pending(make_run("b"))], HEADER), directory)
    text = (directory / "leaderboard.md").read_text(encoding="utf-8")
    assert "No run has finished." in text
    assert "2 runs: 0 done, 1 failed (diverged), 1 pending" in text


def test_an_empty_leaderboard_is_written(directory: Path) -> None:
    write(build([], HEADER), directory)
    assert json.loads((directory / "leaderboard.json").read_text())["rows"] == []


def test_a_broken_evaluation_costs_its_figure_and_is_named_and_nothing_else(directory: Path) -> None:
    entries = [done(make_run(seed=seed), 0.9, directory=directory / str(seed)) for seed in (0, 1)]
    (directory / "0" / "evaluation.json").write_text("{")
    (directory / "1" / "checkpoint" / "events.jsonl").write_text("oops\n")
    write(build(entries, HEADER), directory)
    text = (directory / "leaderboard.md").read_text(encoding="utf-8")
    assert "⚠ lenet5, seed 0: no confusion matrix" in text
    assert "⚠ lenet5, seed 1: no learning curve" in text
    assert "90.0 ± 0.0" in text
    assert "| cat → dog | 15% |" in text


def test_confusions_are_summed_over_the_seeds(directory: Path) -> None:
    entries = [done(make_run(seed=s), a, directory=directory / str(s)) for s, a in ((0, 0.9), (1, 0.7))]
    write(build(entries, HEADER), directory)
    text = (directory / "leaderboard.md").read_text(encoding="utf-8")
    assert "| cat → dog | 30% |" in text


def test_figures_of_an_earlier_report_go_and_other_files_stay(directory: Path) -> None:
    (directory / "figures").mkdir(parents=True)
    for name in ("mine.svg", "confusion-3.svg", "2-learning-curves.png", "quality-vs-latency.svg"):
        (directory / "figures" / name).write_text("<svg/>")
    entry = done(make_run(), directory=directory / "runs" / "x")
    write(build([entry], HEADER), directory)
    names = {path.name for path in (directory / "figures").iterdir()}
    assert names == {
        "mine.svg", "confusion-1.svg", "confusion-1.png", "learning-curves.svg", "learning-curves.png"
    }  # fmt: skip


def test_two_data_sets_have_a_table_and_figures_each(directory: Path) -> None:
    entries = [
        done(make_run("a"), directory=directory / "1"),
        done(make_run("a", digest="f" * 64), directory=directory / "2"),
    ]
    write(build(entries, HEADER), directory)
    text = (directory / "leaderboard.md").read_text(encoding="utf-8")
    assert text.count("| rank | model |") == 2
    assert "## fashion-mini (6d958be0)" in text
    assert "## fashion-mini (ffffffff)" in text
    assert {"1-confusion-1.svg", "2-confusion-1.svg"} <= {path.name for path in (directory / "figures").iterdir()}


def test_nearly_the_best_and_faster_is_said_in_words(directory: Path) -> None:
    entries = [
        done(make_run("big"), 0.9, profile={"speed/latency_ms_p50": 6.2}),
        done(make_run("small"), 0.892, profile={"speed/latency_ms_p50": 2.0}),
        done(make_run("bad"), 0.5, profile={"speed/latency_ms_p50": 0.1}),
    ]
    write(build(entries, HEADER), directory)
    text = (directory / "leaderboard.md").read_text(encoding="utf-8")
    assert "**Fastest within 1 point:** small (−0.8), 3.1× faster (2.0 against 6.2 ms an image)." in text


def test_speeds_of_other_machines_are_not_compared_in_words(directory: Path) -> None:
    entries = [
        done(make_run("big"), 0.9, profile={"speed/latency_ms_p50": 6.2, "cost/usd": 2.0}),
        done(make_run("small"), 0.892, profile={"speed/latency_ms_p50": 2.0, "cost/usd": 1.0}),
    ]
    assert entries[1].result is not None
    elsewhere = dataclasses.replace(entries[1].result, environment={**entries[1].result.environment, "cpu": "another"})
    entries[1] = dataclasses.replace(entries[1], result=elsewhere)
    write(build(entries, HEADER), directory)
    text = (directory / "leaderboard.md").read_text(encoding="utf-8")
    assert "Fastest" not in text
    assert "**Cheapest within 1 point:** small (−0.8), 2.0× cheaper" in text


BILLED = {"cost/billed_seconds": 36.0, "cost/spot_seconds": 100.0, "cost/spot_savings": 0.64}


def billed_entries() -> list[Entry]:
    return [
        done(make_run("a", 0), 0.9, profile={"cost/usd": 0.01, **BILLED}),
        done(make_run("a", 1), 0.9, profile={"cost/usd": 0.02, **BILLED}),
        done(make_run("b", 0), 0.8, profile={"cost/usd": 0.4, **BILLED}),
        failed(make_run("b", 1), profile={"cost/usd": 0.8, **BILLED}),
        failed(make_run("c", 0), profile={"cost/usd": 2.0, **BILLED}),
    ]


def test_dollars_stand_in_all_three_files_those_of_failed_runs_too(directory: Path) -> None:
    header = dataclasses.replace(HEADER, prices="prices of 2024-02, us-east-1")
    write(build(billed_entries(), header), directory)
    page = html.unescape(GITHUB.render((directory / "leaderboard.md").read_text(encoding="utf-8")))
    assert "cost: $3.23 in all, spot saved 64%; prices of 2024-02, us-east-1" in page
    assert '<th style="text-align:right">cost ↓</th>' in page
    assert "<strong>$0.0150</strong>" in page
    assert ">$0.400<" in page
    found = json.loads((directory / "leaderboard.json").read_text(encoding="utf-8"))
    assert found["cost"] == {
        "runs": 5, "unknown": 0, "known_usd": pytest.approx(3.23), "billed_seconds": 180.0,
        "spot_savings": pytest.approx(0.64), "usd": pytest.approx(3.23), "prices": "prices of 2024-02, us-east-1",
    }  # fmt: skip
    assert sorted(each["metrics"]["cost/usd"] for each in found["not_ranked"]) == [0.8, 2.0]
    assert [run["metrics"]["cost/usd"] for run in found["rows"][1]["runs"]] == [0.4, 0.8]
    lines = parsed((directory / "leaderboard.csv").read_bytes().decode())
    assert [float(line["cost/usd total"]) for line in lines] == pytest.approx([0.03, 1.2, 2.0])
    assert [line["cost/usd"] for line in lines] == ["0.015", "0.4", ""]


def test_dollars_that_are_not_known_are_unknown_and_others_are_not_there(directory: Path) -> None:
    entries = [done(make_run("a"), 0.9, profile={"cost/usd": None}), done(make_run("b"), 0.8)]
    write(build(entries, HEADER), directory)
    page = (directory / "leaderboard.md").read_text(encoding="utf-8")
    assert "· cost: unknown\n" in page
    (first, second) = [line for line in page.splitlines() if line.startswith(("| 1 ", "| 2 "))]
    assert "| unknown |" in first
    assert "| – |" in second
    assert "unknown cost: seed 0: no price of its instance type, or no billed seconds (a)." in page
    assert [line["cost/usd"] for line in parsed((directory / "leaderboard.csv").read_bytes().decode())] == ["", ""]
    assert json.loads((directory / "leaderboard.json").read_text())["cost"]["usd"] is None


def test_a_leaderboard_of_runs_without_bills_does_not_mention_cost(written: Path) -> None:
    assert "cost" not in (written / "leaderboard.md").read_text(encoding="utf-8")
    assert "cost/usd" not in (written / "leaderboard.csv").read_text(encoding="utf-8")
    assert json.loads((written / "leaderboard.json").read_text(encoding="utf-8"))["cost"] is None


def test_runs_are_ranked_by_what_they_cost(directory: Path) -> None:
    write(build(billed_entries(), dataclasses.replace(HEADER, primary="cost/usd")), directory)
    page = (directory / "leaderboard.md").read_text(encoding="utf-8")
    assert "ranked by training cost ↓" in page
    assert r"**Best:** a: \$0.0150 ± \$0.00707 training cost." in page


def test_ties_are_marked(directory: Path) -> None:
    write(build([done(make_run("a")), done(make_run("b"))], HEADER), directory)
    text = (directory / "leaderboard.md").read_text(encoding="utf-8")
    assert text.count("| 1= |") == 2
    assert "**Best:** a and b, exactly equal: 80.0% test accuracy." in text


def test_runs_to_come_take_one_line_a_configuration(directory: Path) -> None:
    write(build([pending(make_run(seed=seed)) for seed in range(50)], HEADER), directory)
    text = (directory / "leaderboard.md").read_text(encoding="utf-8")
    assert len([line for line in text.splitlines() if "| pending |" in line]) == 1
    assert len(json.loads((directory / "leaderboard.json").read_text())["not_ranked"]) == 50


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("test/accuracy", 0.9344, "93.4"), ("test/roc_auc_macro", 0.998, ".998"), ("test/roc_auc_macro", 1.0, "1.000"),
     ("test/roc_auc_macro", 0.99999, "1.000"), ("test/mcc", -0.25, "-.250"), ("test/log_loss", 1.2345, "1.234"),
     ("model/parameters", 61706, "0.062"), ("model/parameters", 11.2e6, "11.2"), ("model/macs", 4.2e5, "0.00042"),
     ("model/macs", 0, "0.0"), ("cost/train_seconds", 64.3, "64"), ("cost/train_seconds", 8.04, "8.0"),
     ("cost/usd", 0.01234, "$0.0123"),
     ("cost/usd", 0.4, "$0.400"), ("cost/usd", 0.9999, "$1.00"), ("cost/usd", 1234.5, "$1,234.50"),
     ("cost/usd", 0, "$0.00"), ("speed/images_per_second", 1300.4, "1,300"), ("speed/latency_ms_p50", 3.14, "3.1")],
)  # fmt: skip
def test_numbers_are_written_to_be_read(name: str, value: float, text: str) -> None:
    assert metric(name).write(value) == text


def cells(text: str) -> list[str]:
    """The cells of the body of a table with the columns a and b, as GitHub's Markdown shows them."""
    rendered = GITHUB.render(f"| a | b |\n| -- | -- |\n| {text} | end |\n")
    return re.findall(r"<td>(.*?)</td>", rendered, flags=re.DOTALL)


@given(st.text(max_size=40))
@example("a|b")
@example("<script>")
@example("[a](b) ![c](d)")
@example("``x` \\` |")
@example("_a_ *b* ~~c~~ __d__")
@example("a\r\nb\u2028c")
@example("&lt; &#124; &amp;")
def test_escaped_text_is_shown_as_it_is_and_stays_in_its_cell(text: str) -> None:
    shown = cells(markdown(text))
    assert len(shown) == 2
    assert "<" not in shown[0]
    assert html.unescape(shown[0]).split() == one_line(text).replace("\x00", "\ufffd").split()


@given(st.text(max_size=30))
@example("1. a")
@example("1986) b")
@example("# c")
@example("- d")
@example("+ e")
@example("=== f")
@example("    g")
def test_escaped_text_is_a_plain_paragraph(text: str) -> None:
    rendered = GITHUB.render(markdown(text))
    assert re.sub(r"</?p>", "", rendered).count("<") == 0
    assert html.unescape(re.sub(r"</?p>", "", rendered)).split() == one_line(text).split()


@given(st.text(max_size=30))
@example("a`b")
@example("`")
@example("a|b``c`")
def test_a_code_span_holds_its_text_in_a_cell(text: str) -> None:
    shown = cells(code(text))
    assert len(shown) == 2
    inside = re.fullmatch(r"<code>(.*)</code>", shown[0], flags=re.DOTALL)
    found = html.unescape(inside.group(1)) if inside else shown[0]
    assert found.split() == one_line(text).split()


@given(st.text(max_size=30))
def test_an_attribute_cannot_be_left(text: str) -> None:
    assert not set(attribute(text)) & set("\"'<>\n")


def test_hostile_names_do_no_harm_anywhere(directory: Path) -> None:
    entries = []
    for i, name in enumerate(NASTY):
        run = make_run(name)
        where = directory / "runs" / run.run_id
        write_evidence(where, 0.8 - i / 100, (name, *NASTY[:2]))
        finished = done(run, 0.8 - i / 100, architecture=name, notes=(name,))
        entries += [dataclasses.replace(finished, directory=where), failed(make_run(name, 2), "error", name)]
    everything = " ".join(NASTY)
    header = Header(everything, (DATA,), description=everything, command=everything, commit=everything)
    write(build(entries, header), directory)
    rendered = GITHUB.render((directory / "leaderboard.md").read_text(encoding="utf-8"))
    assert "script" not in re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)", rendered.lower())
    assert "http://y" not in re.findall(r'href="([^"]*)"', rendered)
    tables = re.findall(r"<table>(.*?)</table>", rendered, flags=re.DOTALL)
    assert len(tables) == 4
    for table in tables:
        rows = re.findall(r"<tr>(.*?)</tr>", table, flags=re.DOTALL)
        assert len({row.count("<th") + row.count("<td") for row in rows}) == 1
    for line in csv.reader(io.StringIO((directory / "leaderboard.csv").read_text(encoding="utf-8"), newline="")):
        assert not any(value[:1] in {"=", "+", "@"} for value in line)
    found = json.loads((directory / "leaderboard.json").read_text(encoding="utf-8"))
    assert [row["model"] for row in found["rows"]] == list(NASTY)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_a_spreadsheet_would_run_begins_with_an_apostrophe(start: str) -> None:
    lines = parsed(csv_of(build([done(make_run(f"{start}cmd"), metrics={"test/mcc": -0.5})], HEADER)))
    assert lines[0]["model"] == f"'{start}cmd"
    assert lines[0]["test/mcc"] == "-0.5"


def csv_of(board: Leaderboard) -> str:
    return table_text(board, exhibits(board))


def parsed(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_csv_has_a_line_for_each_configuration_with_exact_numbers(written: Path) -> None:
    lines = parsed((written / "leaderboard.csv").read_bytes().decode())
    assert [(line["rank"], line["model"], line["lr"], line["n_seeds"], line["planned_seeds"]) for line in lines] == [
        ("1", "resnet18", "0.001", "2", "2"),
        ("2", "lenet5", "0.002", "2", "2"),
        ("3", "lenet5", "0.1", "1", "2"),
        ("", "a|b <script>", "0.001", "0", "3"),
    ]
    assert float(lines[0]["test/accuracy"]) == pytest.approx(0.91)
    assert float(lines[0]["test/accuracy sd"]) == pytest.approx(0.0141421356)
    assert lines[2]["test/roc_auc_macro"] == ""


METRIC = {"mean", "sd", "values"}
INTERVAL = {"low": float, "high": float, "over": str}
ROW = {
    "rank": (int, type(None)), "configuration_id": str, "label": str, "model": str, "architecture": str, "data": str,
    "data_digest": str, "hyperparameters": dict, "n_seeds": int, "planned_seeds": int, "metrics": dict, "runs": list,
    "answers": (dict, type(None)),
    "notes": list, "versus_best": (dict, type(None)), "pareto": bool, "dominated_by": (str, type(None)),
    "stale": (str, type(None)),
}  # fmt: skip
RUN = {"run_id": str, "seed": int, "status": str, "mlflow_run_id": (str, type(None)), "metrics": dict}
UNRANKED = {
    "run_id": str, "configuration_id": str, "data": str, "data_digest": str, "label": str, "model": str, "seed": int,
    "status": str, "kind": str, "reason": str, "log": str, "metrics": dict,
}  # fmt: skip


def conforms(document: dict[str, Any], shape: dict[str, Any]) -> bool:
    return document.keys() == shape.keys() and all(isinstance(document[key], kind) for key, kind in shape.items())


def test_the_json_has_the_documented_shape(written: Path) -> None:
    found = json.loads((written / "leaderboard.json").read_text(encoding="utf-8"))
    assert found["schema_version"] == 1
    assert (found["experiment"], found["primary"], found["direction"]) == ("tour", "test/accuracy", "higher")
    assert found["counts"] == {"done": 5, "failed": 2, "pending": 2}
    assert [set(each) for each in found["data"]] == [{"label", "digest", "classes", "sizes"}]
    assert all(conforms(row, ROW) for row in found["rows"])
    assert all(conforms(run, RUN) for row in found["rows"] for run in row["runs"])
    assert all(conforms(each, UNRANKED) for each in found["not_ranked"])
    for row in found["rows"]:
        for each in row["metrics"].values():
            interval = each.pop("interval", None)
            assert each.keys() == ({"mean", "reason"} if each["mean"] is None else METRIC)
            assert interval is None or conforms(interval, INTERVAL)
            assert each["mean"] is None or len(each["values"]) == row["n_seeds"]


def test_the_json_keeps_every_metric_of_every_run() -> None:
    entry = done(make_run(), metrics={"test/ece": 0.0625}, profile={"speed/latency_ms_p50": 3.5})
    (row,) = document(board := build([entry], HEADER), exhibits(board))["rows"]
    assert row["runs"][0]["metrics"]["test/ece"] == 0.0625
    assert row["runs"][0]["metrics"]["speed/latency_ms_p50"] == 3.5
    assert row["hyperparameters"] == entry.run.hyperparameters


def test_half_a_surrogate_pair_from_a_file_name_is_written_as_its_escape(directory: Path) -> None:
    write(build([failed(make_run(), "data", "cannot read \udcff.png")], HEADER), directory)
    found = json.loads((directory / "leaderboard.json").read_text(encoding="utf-8"))
    assert found["not_ranked"][0]["reason"] == "cannot read \udcff.png"
    assert "cannot read" in (directory / "leaderboard.md").read_text(encoding="utf-8")


def test_environments_that_differ_are_shown(directory: Path) -> None:
    other = done(make_run("b"))
    assert other.result is not None
    newer = dataclasses.replace(other.result, environment={**other.result.environment, "python": "3.12.1"})
    write(build([done(make_run("a")), dataclasses.replace(other, result=newer)], HEADER), directory)
    text = (directory / "leaderboard.md").read_text(encoding="utf-8")
    assert "- ⚠ runs differ in: python 3.11.9 / 3.12.1\n" in text


def test_what_reads_the_same_in_all_rows_moves_to_the_caption(directory: Path) -> None:
    facts = {"model/parameters": 61706.0, "cost/train_seconds": 12.0, "test/f1_macro": 0.8}
    entries = [done(make_run(lr=lr), 0.9 - lr, metrics={**facts, "model/macs": 1e6 / lr}) for lr in (0.1, 0.2)]
    write(build(entries, HEADER), directory)
    text = (directory / "leaderboard.md").read_text(encoding="utf-8")
    (head,) = re.findall(r"^\| rank .*$", text, re.MULTILINE)
    assert "params" not in head
    assert "train s" not in head
    assert {"GMACs", "F1 ↑"} <= {each.strip() for each in head.split("|")}
    assert "augment none, params M 0.062, train s 12." in text


def test_many_classes_stand_in_an_order_that_puts_confused_ones_together() -> None:
    """Classes i and i + 15 are taken for each other, and stand side by side."""
    k = 30
    counts = np.eye(k, dtype=np.int64) * 80
    for i in range(k):
        counts[i, (i + 15) % k] = 20
    order = clustered([counts])
    assert sorted(order) == list(range(k))
    assert all(abs(order.index(i) - order.index(i + 15)) == 1 for i in range(15))
    evidence = Evidence(tuple(f"class {i}" for i in range(k)), {"lenet5": counts})
    (table,) = build([done(make_run())], HEADER).tables
    (row,) = table.rows
    styles = {row.configuration_id: looks(["lenet5"])["lenet5"]}
    drawn = pictures(Exhibit(table, "test/accuracy", evidence=evidence), styles)
    names = [label.get_text() for label in drawn.confusions[0].figure.axes[0].get_yticklabels()]
    assert names == [f"class {i}" for i in order]
    assert "by similarity" in drawn.confusions[0].figure.axes[0].get_title(loc="left").replace("\n", " ")


def test_rows_of_other_library_versions_are_marked(directory: Path) -> None:
    then = "torch 2.13.0 then, 2.14.1 now"
    entries = [dataclasses.replace(done(make_run(model)), stale=then if model != "new" else "") for model in "ab"]
    entries.append(done(make_run("new")))
    write(build(entries, HEADER), directory)
    text = (directory / "leaderboard.md").read_text(encoding="utf-8")
    assert f"⚠ stale, {then}: a; b." in text
    rows = json.loads((directory / "leaderboard.json").read_text(encoding="utf-8"))["rows"]
    assert {row["model"]: row["stale"] for row in rows} == {"a": then, "b": then, "new": None}


def test_a_row_whose_seeds_mix_versions_is_marked(directory: Path) -> None:
    entries = [done(make_run(seed=seed)) for seed in (0, 1)]
    assert entries[1].result is not None
    entries[1].result.environment["torch"] = "2.13.0"  # type: ignore[index]
    write(build(entries, HEADER), directory)
    text = (directory / "leaderboard.md").read_text(encoding="utf-8")
    assert "⚠ lenet5: its seeds were trained with different library versions." in text
