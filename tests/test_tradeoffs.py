"""Quality against cost, constraint queries, and several data sets."""

from __future__ import annotations

import dataclasses

import pytest

from reports.across import across
from reports.leaderboard import Entry, Header, Leaderboard, Table, build
from reports.limits import KINDS, Limit, choose, sentence
from reports.render import write
from reports.tradeoffs import tradeoffs
from tests.report_support import DATA, HEADER, done, make_run


def entry(model: str, accuracy: float, latency: float | None, parameters: float = 1e6, **environment: str) -> Entry:
    profile = {} if latency is None else {"speed/latency_ms_p50": latency, "speed/batch_size": 256.0}
    found = done(make_run(model), accuracy, metrics={"model/parameters": parameters}, profile=profile)
    assert found.result is not None
    result = dataclasses.replace(found.result, environment={**found.result.environment, **environment})
    return dataclasses.replace(found, result=result)


def table(*entries: Entry) -> Table:
    (found,) = build(entries, HEADER).tables
    return found


def labels(board: Table, keys: object) -> set[str]:
    return {row.label for row in board.rows if row.configuration_id in keys}  # type: ignore[operator]


def test_the_front_holds_what_nothing_beats_in_everything() -> None:
    found = table(
        entry("best", 0.9, 5.0), entry("fast", 0.8, 1.0), entry("beaten", 0.79, 6.0), entry("equal", 0.9, 5.0)
    )
    traded = tradeoffs(found, "test/accuracy")
    assert labels(found, traded.front) == {"best", "fast", "equal"}
    (by,) = traded.dominated_by.values()
    assert labels(found, [by]) <= {"best", "equal"}
    assert traded.objectives == ("test/accuracy", "speed/latency_ms_p50")


def test_a_cost_that_is_not_known_of_all_rows_is_not_compared() -> None:
    found = table(entry("a", 0.9, None, 2e6), entry("b", 0.8, 1.0, 1e6))
    assert tradeoffs(found, "test/accuracy").objectives == ("test/accuracy", "model/parameters")


def test_without_a_cost_that_differs_there_is_no_front() -> None:
    traded = tradeoffs(table(entry("a", 0.9, 1.0), entry("b", 0.8, 1.0)), "test/accuracy")
    assert (traded.front, traded.dominated_by) == ((), {})


def test_speed_is_compared_within_one_machine_only_and_the_page_says_so(tmp_path: object) -> None:
    found = table(entry("here", 0.9, 9.0, cpu="Xeon"), entry("there", 0.8, 10.0, cpu="EPYC"))
    traded = tradeoffs(found, "test/accuracy")
    assert labels(found, traded.front) == {"here", "there"}
    assert set(traded.groups) == {"cpu, Xeon, batches of 256", "cpu, EPYC, batches of 256"}
    entries = [entry("here", 0.9, 9.0, cpu="Xeon"), entry("there", 0.8, 10.0, cpu="EPYC")]
    write(build(entries, HEADER), tmp_path)  # type: ignore[arg-type]
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")  # type: ignore[operator]
    assert (
        text.index("#### Measured on cpu, Xeon") < text.index("| 1 | here") < text.index("#### Measured on cpu, EPYC")
    )
    assert text.index("#### Measured on cpu, EPYC") < text.index("| 2 | there")


@pytest.mark.parametrize(
    ("kind", "text", "most"),
    [("latency", "20ms", 20.0), ("latency", "0.5 s", 500.0), ("latency", "7", 7.0), ("params", "5M", 5e6),
     ("params", "2.5e6", 2.5e6), ("macs", "0.5G", 5e8), ("train-time", "10m", 600.0), ("train-time", "2h", 7200.0),
     ("memory", "2GB", 2e9), ("memory", "1GiB", 2.0**30), ("cost", "$1.50", 1.5)],
)  # fmt: skip
def test_limits_have_units(kind: str, text: str, most: float) -> None:
    assert Limit.of(kind, text) == Limit(KINDS[kind].metric, most)


@pytest.mark.parametrize("text", ["", "fast", "-3ms", "0", "20 kg", "1e400", "nan", "inf", "5 ms ms", "٣x"])
def test_a_limit_that_is_none_is_an_error_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"--max-latency .* is not a positive number in .*, such as 20ms"):
        Limit.of("latency", text)


def test_the_best_that_keeps_all_limits_is_named_and_what_is_not_known_is_told() -> None:
    found = table(
        entry("best", 0.9, 25.0, 9e6), entry("unknown", 0.85, None), entry("fits", 0.8, 10.0), entry("c", 0.7, 1.0)
    )
    limits = [Limit.of("latency", "20ms"), Limit.of("params", "5M")]
    choice = choose(found, limits)
    assert choice.best is not None
    assert choice.best.label == "fits"
    assert [row.label for row in choice.fitting] == ["fits", "c"]
    assert [row.label for row in choice.unknown] == ["unknown"]
    text = sentence(found, limits, "test/accuracy")
    assert "fits, 80.0% test accuracy" in text
    assert "not known of 1: unknown" in text
    none = sentence(found, [Limit.of("latency", "0.1ms")], "test/accuracy")
    assert none.startswith("fashion-mini: none of 4 configurations keeps latency at most 0.10 ms")
    assert text.startswith("fashion-mini: best with latency at most 20.0 ms and parameters at most 5.0 M: fits")
    assert "(latency 10.0 ms, parameters " in text


def over(*means: dict[str, float], primary: str = "test/accuracy") -> Leaderboard:
    """A data set for each mapping of model -> accuracy."""
    data = [dataclasses.replace(DATA, label=f"data {i}", digest=f"{i}" * 64) for i in range(len(means))]
    entries = [
        done(make_run(model, digest=each.digest), accuracy)
        for each, values in zip(data, means, strict=True)
        for model, accuracy in values.items()
    ]
    return build(entries, Header("t", tuple(data), primary))


def test_over_several_data_sets_there_are_mean_ranks_and_win_rates() -> None:
    found = across(over({"a": 0.9, "b": 0.8, "c": 0.7}, {"a": 0.6, "b": 0.8, "c": 0.6}))
    assert [(each.label, each.mean_rank, each.win_rate, each.first) for each in found] == [
        ("b", 1.5, 0.75, 1),
        ("a", 1.75, 0.625, 1),
        ("c", 2.75, 0.125, 0),
    ]


def test_only_configurations_of_every_data_set_count() -> None:
    assert [each.label for each in across(over({"a": 0.9, "b": 0.8, "x": 1.0}, {"a": 0.6, "b": 0.8}))] == ["a", "b"]
    assert across(over({"a": 0.9, "b": 0.8})) == ()
    assert across(over({"a": 0.9}, {"a": 0.8})) == ()
