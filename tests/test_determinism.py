"""A run has the same bits in every way of training it; `tests/determinism.py` tries it with the quick experiment."""

from pathlib import Path

import pytest

from launch import engine
from launch.engine import IMAGE, Missing
from tests.determinism import WAYS, tried

pytestmark = pytest.mark.slow
YAML = """
name: tiny
data: {source: synthetic, train_size: 300, test_size: 100, classes: 3, image_size: 32}
defaults: {epochs: 20, lr: 3e-3}
matrix: {model: [lenet5]}
"""
BY_DAY = tuple(way for way in WAYS if way not in ("fork", "workers", "fast_local"))
"""The script tries the others, too."""


@pytest.mark.timeout(2400)
def test_ways_of_training_a_run_gives_the_same_bits(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(YAML)
    ways = [way for way in BY_DAY if way != "local" or not isinstance(engine.find(IMAGE), Missing)]
    found = tried(tmp_path, tmp_path / "tiny.yaml", ways)
    assert {way: found[way] for way in ways} == {way: {"identical": 1} for way in ways}
