"""Sweeps with a search: who is stopped, who gets to the end and with which bits, and what a kill changes."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmark.rundir import RunDir
from tests.docker_support import CONTAINERS
from tests.test_cli import Command
from tests.test_launch import wait_for

YAML = """name: tiny
data: {source: synthetic, train_size: 300, test_size: 60, classes: 3, size: 12}
defaults: {model: lenet5, epochs: 9, batch_size: 32}
matrix: {lr: [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3], seed: [0, 1]}
launch: {workers: 2, profile: false}
"""
SEARCH = "search: {strategy: halving, reduction: 3}\n"
CHOSEN = (
    YAML.replace("[1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]", "{log: [1e-5, 1e-1]}").replace("epochs: 9", "epochs: 3")
    + "search: {strategy: optuna, trials: 5, startup: 2, batch: 2}\n"
)


def made(home: Path, text: str) -> Command:
    home.mkdir(exist_ok=True)
    (home / "experiments.yaml").write_text(text)
    return Command(home, home.parent / "cache")


def quality(command: Command) -> dict[str, dict[str, float]]:
    """Run id -> what it measured, without times, of the runs that have a result."""
    found = (command.home / "results" / "tiny" / "runs").glob("*/result.json")
    return {path.parent.name: _values(path.parent) for path in found}


def _values(rundir: Path) -> dict[str, float]:
    metrics = json.loads((rundir / "result.json").read_text())["metrics"]
    return {name: value for name, value in metrics.items() if not name.startswith("cost/")}


def epochs(command: Command) -> dict[str, int]:
    return {path.name: len(RunDir(path).read_events()) for path in (command.home / "results/tiny/runs").iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Without a search."""
    command = made(tmp_path_factory.mktemp("кот #1") / "whole", YAML)
    command("run")
    return command


@pytest.fixture(scope="module")
def searched(whole: Command) -> Command:
    command = made(whole.home.parent / "searched", YAML + SEARCH)
    command("run")
    return command


@pytest.mark.slow
def test_the_better_ones_get_to_the_end_with_the_bits_of_a_full_run(whole: Command, searched: Command) -> None:
    found, full = quality(searched), quality(whole)
    assert len(full) == 12
    assert len(found) == 2, "one configuration, both its seeds"
    assert all(full[name] == each for name, each in found.items())
    assert sorted(epochs(searched).values()) == [1] * 8 + [3] * 2 + [9] * 2


@pytest.mark.slow
def test_what_is_stopped_is_marked_and_never_ranked(searched: Command) -> None:
    board = json.loads((searched.home / "results" / "tiny" / "leaderboard.json").read_text())
    assert board["counts"] == {"done": 2, "failed": 0, "pending": 0, "pruned": 10}
    assert [len(row["runs"]) for row in board["rows"] if row["rank"] is not None] == [2]
    assert {each["kind"] for each in board["not_ranked"]} == {"pruned"}
    assert "10 stopped early by the search" in (searched.home / "results" / "tiny" / "leaderboard.md").read_text()
    said = searched("plan", "--no-probe")
    assert "10 pruned" in said
    assert "will train" not in said
    assert "stopped by the search after 1 of 9 epochs: val/accuracy" in said
    assert "0 to run" in searched("run")
    assert "failed" not in searched("status")


def test_the_plan_says_how_many_epochs_will_be_trained(tmp_path: Path) -> None:
    command = made(tmp_path, YAML + SEARCH)
    assert "the search will train 32 of 108 epochs (30%)" in command("plan", "--no-probe")
    assert json.loads(command("plan", "--no-probe", "--json"))["search"] == {"epochs": 32, "of": 108}


@pytest.mark.slow
def test_mlflow_is_told_what_was_stopped(searched: Command) -> None:
    query = "SELECT r.status, t.value FROM runs r JOIN tags t USING (run_uuid) WHERE t.key = 'benchmark.status'"
    with closing(sqlite3.connect(searched.home / "mlflow.db")) as database:
        found = Counter(database.execute(query).fetchall())
    assert found == {("FINISHED", "done"): 2, ("KILLED", "pruned"): 10}


@pytest.mark.nightly
@pytest.mark.slow
def test_a_killed_search_decides_the_same_when_it_goes_on(whole: Command, searched: Command) -> None:
    command = made(whole.home.parent / "killed", YAML + SEARCH)
    for seen in (3, 12, 16):
        kill_after(seen, command)
    command("run")
    assert quality(command) == quality(searched)
    assert epochs(command) == epochs(searched)


@pytest.mark.nightly
@pytest.mark.parametrize("words", [pytest.param(["run", "--mode", "local"], marks=CONTAINERS), ["rehearse"]], ids=str)
@pytest.mark.parametrize("strategy", ["halving", "optuna"])
def test_containers_and_training_jobs_find_the_same(words: list[str], strategy: str, tmp_path: Path) -> None:
    text = YAML + SEARCH if strategy == "halving" else CHOSEN
    here, there = made(tmp_path / "here", text), made(tmp_path / "there", text)
    here("run")
    there(*words)
    (place,) = there.home.glob("**/tiny/runs")
    assert quality(here)
    assert {path.parent.name for path in place.glob("*/result.json")} == set(quality(here))
    assert {name: _values(place / name) for name in quality(here)} == quality(here)


@pytest.mark.nightly
@pytest.mark.slow
def test_without_the_search_the_stopped_ones_are_new_again(whole: Command, searched: Command) -> None:
    (searched.home / "full.yaml").write_text(YAML)
    assert "10 new" in searched("plan", "full.yaml", "--no-probe")
    searched("run", "full.yaml")
    assert quality(searched) == quality(whole)


def kill_after(seen: int, command: Command) -> None:
    process = command.start("run", "--workers", "1")
    wait_for(lambda: process.poll() is not None or sum(_whole(command).values()) >= seen, 120)
    assert process.poll() is None, "it ended before it was killed"
    process.kill()
    process.communicate()


def _whole(command: Command) -> dict[str, Any]:
    try:
        return epochs(command)
    except (OSError, ValueError):
        return {}


def test_a_search_by_what_is_not_measured_is_an_error(tmp_path: Path) -> None:
    command = made(tmp_path / "home", YAML + "search: {strategy: halving, metric: val/roc_auc_macro}\n")
    assert "metric cannot be 'val/roc_auc_macro'" in command("validate", code=2)
    command = made(tmp_path / "home", YAML + "search: {strategy: halfing, reduction: 1}\n")
    said = command("validate", code=2)
    assert "did you mean 'halving'" in said
    assert "reduction must be" in said
