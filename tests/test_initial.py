"""`init`: the first experiment that is proposed for somebody's images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark import catalogue, config, initial
from benchmark.catalogue import ModelSpec
from benchmark.config import yaml_text
from benchmark.config.schema import schema
from benchmark.data.duplicates import Duplicates
from benchmark.data.imageset import DataFacts
from benchmark.datacard import DataCard
from benchmark.run import DataSpec
from benchmark.slugs import slug

ROOT = Path(__file__).resolve().parent.parent
HOUR = 3600.0


def card(
    train: int = 5400, side: int = 64, classes: int = 10, smallest: int | None = None, channels: int = 3
) -> DataCard:
    """A balanced data set of squares, but for one class of ``smallest`` images."""
    each = train // classes
    counts = [each] * (classes - 1) + [each if smallest is None else smallest]
    names = tuple(f"class {number}" for number in range(classes))
    sizes = {"train": sum(counts), "val": classes, "test": 2 * classes}
    facts = DataFacts("d" * 64, names, side, channels, sizes)
    splits = {"train": counts, "val": [1] * classes, "test": [2] * classes}
    return DataCard(
        DataSpec(), facts, splits, {(side, side, channels): sum(sizes.values())}, Duplicates(()), lambda: b""
    )


cards = st.builds(
    card,
    train=st.integers(100, 200_000),
    side=st.integers(4, 6000),
    classes=st.integers(2, 50),
    channels=st.sampled_from([1, 3]),
)


@settings(max_examples=25)
@given(cards, st.floats(30, 100 * HOUR), st.integers(1, 64))
def test_any_images_and_any_budget_give_an_experiment_that_can_run(
    found: DataCard, budget: float, workers: int
) -> None:
    proposal = initial.propose(found, budget, workers)
    text = initial.yaml(proposal, "photos", "fashion-mini", "schema.json")
    experiment = config.parse(text, Path("photos.yaml"))
    assert len(experiment.cells) == len(proposal.models) * proposal.seeds >= 2
    assert all(cell.run.epochs >= 1 and cell.run.batch_size <= found.facts.sizes["train"] for cell in experiment.cells)
    assert all(proposal.image_size >= initial.COSTS[model].minimum_size for model in proposal.models)
    assert not list(jsonschema.Draft202012Validator(schema()).iter_errors(yaml_text.parse(text, "x").value))


@settings(max_examples=50)
@given(cards, st.floats(120, 100 * HOUR))
def test_the_budget_is_kept_wherever_there_is_room_for_a_few_epochs(found: DataCard, budget: float) -> None:
    proposal = initial.propose(found, budget, 2)
    assert proposal.seconds <= budget or proposal.epochs == 1


def test_more_time_is_used_for_more() -> None:
    short, long = (initial.propose(card(side=224), budget, 2) for budget in (300.0, 10 * HOUR))
    assert long.image_size >= short.image_size
    assert (long.epochs, long.seeds) > (short.epochs, short.seeds) or long.image_size > short.image_size
    assert len(long.models) >= len(short.models)
    slow = initial.propose(card(side=224), 10 * HOUR, 2, pace=50.0)
    assert slow.image_size < long.image_size or slow.epochs < long.epochs


def test_small_images_keep_their_size_and_large_ones_become_smaller() -> None:
    assert initial.propose(card(side=28), HOUR, 2).image_size == 28
    assert "lenet5" in initial.propose(card(side=28), HOUR, 2).models
    large = initial.propose(card(side=3000), 1000 * HOUR, 2)
    assert large.image_size == 224
    assert "lenet5" not in large.models


def test_an_imbalanced_set_is_weighted_and_ranked_by_balanced_accuracy() -> None:
    text = initial.yaml(initial.propose(card(smallest=20), HOUR, 2), "photos", "fashion-mini", "s.json")
    experiment = config.parse(text, Path("photos.yaml"))
    assert experiment.report.primary == "test/balanced_accuracy"
    assert all(cell.run.class_weights == "balanced" for cell in experiment.cells)
    assert "27.0 times as many" in text


@pytest.mark.parametrize(
    ("name", "expected"),
    [("My Photos 2024", "my-photos-2024"), ("кот", "my-images"), ("../..", "my-images"), ("a" * 99, "a" * 63)],
)
def test_a_folder_s_name_becomes_the_experiment_s(name: str, expected: str) -> None:
    assert slug(name, "my-images") == expected


@pytest.mark.nightly
@pytest.mark.slow
def test_the_costs_are_the_catalogue_s(tmp_path: Path) -> None:
    specs = {model: ModelSpec(model, "{}", initial.REFERENCE, 3, 10) for model in initial.COSTS}
    found = catalogue.describe(list(specs.values()), tmp_path)
    for model, spec in specs.items():
        ours, theirs = initial.COSTS[model], found[spec]
        assert (ours.parameters, ours.macs, ours.activations, ours.widest, ours.minimum_size) == (
            theirs.parameters, theirs.macs, theirs.activations, theirs.widest, theirs.minimum_size,
        )  # fmt: skip


@pytest.mark.nightly
def test_a_newcomer_s_folder(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "home" / "Meine Bilder #1: 'neu'"
    generator = np.random.default_rng(0)
    for name in ("Äpfel", "birnen"):
        (folder / name).mkdir(parents=True)
        for index in range(30):
            Image.fromarray(generator.integers(256, size=(40, 50, 3), dtype=np.uint8)).save(
                folder / name / f"{index}.jpg"
            )
    program = (
        "import sys; from benchmark.cli import main\n"
        "try: main(sys.argv[1:], standalone_mode=True)\n"
        "except SystemExit as stop: code = stop.code\n"
        "print('heavy:', sorted({'torch', 'timm', 'mlflow', 'matplotlib'} & set(sys.modules)))\n"
        "sys.exit(code)"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "TORCH_IMAGE_BENCHMARK_CACHE": str(tmp_path / "cache")}

    def run(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=home,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "heavy: []" in done.stdout
        return done.stdout + done.stderr

    said = run("init", folder.name)
    assert "60 images of 2 classes" in said
    assert "next: python -m benchmark plan\n" in said
    assert "is there already" in run("init", folder.name, code=2)
    assert "no such directory" in run("init", "nowhere", "--force", code=2)
    experiment = config.load(home / "experiments.yaml")
    assert {cell.run.data.path for cell in experiment.cells} == {str(folder)}
    assert experiment.name == "meine-bilder-1-neu"
    assert "valid" in run("validate")
    (folder / "birnen" / "broken.jpg").write_bytes(b"no image")
    assert "broken.jpg: not an image" in run("init", folder.name, "--output", "other.yaml", code=2)
