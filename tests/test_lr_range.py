"""A range test of learning rates: what it suggests is a rate that trains."""

import csv
import json
from pathlib import Path

import pytest

from benchmark.config import parse
from benchmark.lr_range import Curve, _different, write
from reports.figures import png_bytes
from reports.lr_curves import lr_figure
from tests.test_cli import Command

YAML = """
name: rates
data: {source: synthetic, train_size: 600, test_size: 100, classes: 5, size: 28}
defaults: {batch_size: 32, epochs: 3}
matrix: {model: lenet5, optimizer: [adamw, sgd], lr: [1e-3, 1e-2], seed: [0, 1]}
"""


@pytest.mark.slow
def test_every_configuration_gets_a_rate_a_table_and_a_figure(tmp_path: Path) -> None:
    (tmp_path / "experiments.yaml").write_text(YAML)
    command = Command(tmp_path, tmp_path / "cache")
    shown = command("lr", "--only", "model=lenet5")
    assert shown.count("lenet5, optimizer") == 2, "rates and seeds are no configurations of their own"
    output = command("lr", "--only", "model=lenet5", "--json")
    document = json.loads(output[output.index("[\n") : output.rindex("\n]") + 2])
    suggested = {each["label"]: each["suggested"] for each in document}
    assert 3e-4 < suggested["lenet5, optimizer adamw"] < 3e-2
    assert suggested["lenet5, optimizer sgd"] > suggested["lenet5, optimizer adamw"]
    with (tmp_path / "results" / "rates" / "lr_range.csv").open() as file:
        rows = list(csv.DictReader(file))
    rates = [float(row["lr"]) for row in rows if row["configuration"] == "lenet5, optimizer adamw"]
    assert rates == sorted(rates)
    assert (tmp_path / "results" / "rates" / "figures" / "lr_range.png").stat().st_size > 10_000


def test_runs_that_differ_in_rate_and_length_only_are_tested_once() -> None:
    text = (
        "name: x\ndata: digits\nmatrix: {model: [lenet5], lr: [1, 2], epochs: [1, 2], seed: [0, 1], batch_size: [8, 9]}"
    )
    cells = parse(text, Path("x.yaml")).cells
    assert [each.batch_size for each in _different([cell.run for cell in cells])] == [8, 9]


def test_the_rate_is_a_tenth_of_that_of_the_lowest_loss() -> None:
    curve = Curve("a", (1e-4, 1e-3, 1e-2, 1e-1), (2.0, 1.5, 1.0, 3.0))
    assert curve.suggested == pytest.approx(1e-3)
    assert curve.words == "a: lr 1.0e-03 (the loss is lowest at 1.0e-02, and was followed to 1.0e-01)"


def test_curves_are_a_table_and_a_figure(tmp_path: Path) -> None:
    found = [Curve("a, b", (1e-4, 1e-3), (2.0, 1.5)), Curve("c", error="no such thing")]
    assert write(found, tmp_path).read_text().splitlines() == [
        "configuration,lr,loss",
        '"a, b",0.0001,2.0',
        '"a, b",0.001,1.5',
    ]
    drawn = {"a, b": ((1e-4, 1e-3), (2.0, 1.5), 1e-4)}
    assert png_bytes(lr_figure(drawn)) == png_bytes(lr_figure(drawn))
