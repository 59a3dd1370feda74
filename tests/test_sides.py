"""Two sides of a measurement: their ratio, their limits, and what is kept of them."""

import json
from pathlib import Path

import pytest

from perf.sides import Figure, Side, finish, short

QUICK, SLOW = Side("ours", (1.0, 2.0, 4.0)), Side("theirs", (10.0, 10.0, 10.0))


def test_the_ratio_is_the_median_of_rounds_in_turns_or_that_of_the_medians() -> None:
    assert Figure("x", "s", QUICK, SLOW).ratio == pytest.approx(5.0)
    assert Figure("x", "s", QUICK, Side("once", (6.0,))).ratio == pytest.approx(3.0)
    assert Figure("x", "images a second", SLOW, QUICK, better="higher").ratio == pytest.approx(5.0)
    assert Figure("x", "s", QUICK).ratio is None


@pytest.mark.parametrize(
    ("limits", "kept"),
    [({}, True), ({"most": 2.0}, True), ({"most": 1.9}, False), ({"least": 5.0}, True), ({"least": 5.1}, False)],
)
def test_limits_are_of_the_median_and_of_the_ratio(limits: dict[str, float], kept: bool) -> None:
    figure = Figure("x", "s", QUICK, SLOW, **limits)
    assert figure.kept == kept
    assert figure.line.endswith("(s, n = 3)" if kept else "NOT KEPT")


def test_of_what_is_better_the_higher_it_is_the_limit_is_a_least_one() -> None:
    assert Figure("x", "images a second", QUICK, most=2.0, better="higher").kept
    assert not Figure("x", "images a second", QUICK, most=2.1, better="higher").kept
    assert not Figure("x", "s", QUICK, least=1.0).kept, "there is no other side"


def test_figures_come_back_from_their_file_with_machine_and_versions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = [Figure("x", "s", QUICK, SLOW, least=9.0), Figure("y", "MB", QUICK), Figure("z", "s", QUICK, QUICK)]
    assert finish("some", figures, tmp_path / "кот #1.json") == 1
    assert finish("some", figures, None, guard=4.0) == 0
    assert finish("some", figures, None, guard=6.0) == 1
    assert finish("some", figures[1:], None, guard=1.1) == 1, "where no ratio has a limit all are guarded"
    document = json.loads((tmp_path / "кот #1.json").read_text())
    assert [Figure.of(each) for each in document["figures"]] == figures
    assert {"cpu", "cores", "load", "python", "torch"} <= document["machine"].keys()
    said = capsys.readouterr().out
    assert "x: ours 2 (1 to 4), theirs 10 (10 to 10); ratio 5 [limit 9] (s, n = 3)  NOT KEPT" in said
    assert f"cores of {document['machine']['cpu']}, load " in said
    assert f"torch {document['machine']['torch']}, " in said


def test_numbers_have_the_digits_that_mean_something() -> None:
    assert [short(each) for each in (12345.6, 99.94, 0.012345)] == ["12,346", "99.9", "0.0123"]
