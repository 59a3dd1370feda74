"""The benchmarks' smoke: a ratio that falls far below the kept one fails it, and says what to do."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from perf import page, sides, smoke
from perf.benchmarks import BENCHMARKS, KEPT
from perf.sides import Figure, Side, finish

LOOP = Figure("loop", "images a second", Side("ours", (40.0,)), Side("PIL", (10.0,)), better="higher")
WRITE = Figure("write", "ms", Side("ours", (10.0, 10.0)), Side("naive", (90.0, 110.0)))
ALONE = Figure("memory", "MB", Side("ours", (5.0,)))


def slower(figure: Figure, times: float) -> Figure:
    values = tuple(each / times if figure.better == "higher" else each * times for each in figure.ours.values)
    return replace(figure, ours=Side("ours", values))


class Machine:
    """What is measured, try by try, in place of the scripts; the kept figures are those of the first test."""

    def __init__(self, *tries: Sequence[Figure]) -> None:
        self.tries = list(tries)

    def run(self, name: str, out: Path, options: Sequence[str] = ()) -> int:
        return finish(name, self.tries.pop(0), out / f"{name}.json")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A baseline in which ``training`` has three figures."""
    monkeypatch.setattr(smoke, "BASELINE", tmp_path / "кот #1")
    monkeypatch.setattr(smoke, "run", Machine([LOOP, WRITE, ALONE]).run)
    assert smoke.keep(["training"]) == 0
    return smoke.BASELINE


@pytest.mark.parametrize(
    ("tries", "code"),
    [
        ([[LOOP, WRITE, ALONE]], 0),
        ([[slower(LOOP, 1.3), slower(WRITE, 1.3)]], 0),
        ([[slower(LOOP, 1.4), WRITE], [LOOP, WRITE]], 0),
        ([[slower(LOOP, 1.4), WRITE], [slower(LOOP, 1.4), WRITE]], 1),
        ([[LOOP, slower(WRITE, 1.4)], [LOOP, slower(WRITE, 1.5)]], 1),
        ([[LOOP], [LOOP]], 1),
    ],
    ids=["as it was", "a little slower", "once disturbed", "loop slower", "other slower", "not measured any more"],
)
def test_a_ratio_that_falls_by_more_than_a_quarter_twice_fails(
    kept: Path, monkeypatch: pytest.MonkeyPatch, tries: list[list[Figure]], code: int
) -> None:
    monkeypatch.setattr(smoke, "run", (machine := Machine(*tries)).run)
    assert smoke.check(["training"]) == code
    assert not machine.tries, "what is well is measured once"


def test_the_message_names_benchmark_ratios_and_remedy(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = [slower(LOOP, 2.0), WRITE]
    monkeypatch.setattr(smoke, "run", Machine(worse, worse).run)
    smoke.check(["training"])
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("training has fallen: loop, against PIL: ratio 2, kept 4; look for what made it slower")
    assert said.endswith("or, where that is meant, `python -m perf --smoke --keep training`")


def test_without_a_kept_figure_the_smoke_fails() -> None:
    assert smoke.fell("metrics", [], [LOOP]) == [
        "metrics: nothing is kept to compare with; " + smoke._remedy("metrics")
    ]


def test_every_small_benchmark_has_baselines_with_ratios() -> None:
    assert len(smoke.baselines()) >= 2, "types of processors"
    for kept in smoke.baselines().values():
        assert kept.keys() == smoke.SMALL.keys()
        assert all(any(figure.ratio for figure in figures) for figures in kept.values())


def test_what_counts_is_kept_of_the_same_type_of_processor_or_else_the_least_of_all(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke, "cpu", lambda: "Another 3000")
    assert smoke.kept("training") == [LOOP, WRITE], "what has no ratio is not compared"
    for machine in ("Another 3000", "A third"):
        monkeypatch.setattr(sides, "cpu", lambda machine=machine: machine)
        monkeypatch.setattr(smoke, "cpu", sides.cpu)
        factor = 2.0 if machine == "A third" else 0.5
        monkeypatch.setattr(smoke, "run", Machine([slower(LOOP, factor), slower(WRITE, factor)]).run)
        assert smoke.keep(["training"]) == 0
    assert smoke.kept("training") == [slower(LOOP, 2.0), slower(WRITE, 2.0)]
    monkeypatch.setattr(smoke, "cpu", lambda: "Another 3000")
    assert smoke.kept("training") == [slower(LOOP, 0.5), slower(WRITE, 0.5)]
    monkeypatch.setattr(smoke, "cpu", lambda: "A fourth")
    assert smoke.kept("training") == [slower(LOOP, 2.0), slower(WRITE, 2.0)]
    assert smoke.kept("metrics") == []


def test_the_page_is_what_the_kept_figures_give() -> None:
    """`python -m perf --page` writes it."""
    assert page.PAGE.read_text(encoding="utf-8") == page.written()


def test_every_benchmark_has_its_place_on_the_page() -> None:
    named = page.PLACE.findall((page.HERE / "page.md").read_text(encoding="utf-8"))
    assert sorted(named) == sorted(BENCHMARKS)
    assert {path.stem for path in KEPT.glob("*.json")} <= BENCHMARKS.keys()


def test_a_section_has_commands_table_and_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(page, "KEPT", tmp_path)
    assert page.section("metrics").endswith("Not measured.")
    finish("metrics", [replace(WRITE, least=12.0, most=80.0), ALONE], tmp_path / "metrics.json")
    document: Mapping[str, object] = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    lines = page.section("metrics").splitlines()
    assert "python perf/metrics.py                           two minutes, most of them scikit-learn's" in lines
    assert (
        "| write | ms | ours: 10 (10 to 10) | naive: 100 (90 to 110) | **10** | ≤ 80, ratio ≥ 12 *not reached* | 2 |"
        in lines
    )
    assert "| memory | MB | ours: 5 | – | – | – | 1 |" in lines
    assert lines[-1].startswith(f"{document['date']}, ")
