"""Recipes: where they stand among the layers of keys, what is wrong with a file of one's own, and that each trains."""

import json
from pathlib import Path

import pytest

from benchmark.config import ConfigError, parse, recipes
from benchmark.run import Run
from reports.settings import common, labels, varying_keys
from tests.test_cli import Command

YAML = "name: x\ndata: digits\n"


def runs(text: str, tmp_path: Path, settings: tuple[str, ...] = ()) -> list[Run]:
    return [cell.run for cell in parse(YAML + text, tmp_path / "x.yaml", settings).cells]


def errors(text: str, tmp_path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        runs(text, tmp_path)
    return [str(each) for each in caught.value.problems]


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_says_what_it_is_for_and_where_it_comes_from(name: str) -> None:
    recipe = recipes.read(name)
    assert recipe.description.endswith(".")
    assert any(year in recipe.source for year in map(str, range(2014, 2027)))
    assert len(recipe.keys) >= 5


def test_recipes_are_an_axis(tmp_path: Path) -> None:
    found = runs("matrix: {model: [lenet5], recipe: [airbench-style, timm-style, '']}", tmp_path)
    assert [each.optimizer for each in found] == ["sgd", "lamb", "adamw"]
    assert [each.recipe for each in found] == ["airbench-style", "timm-style", ""]
    assert found[2].epochs == 5, "the built-in default"


@pytest.mark.parametrize(
    ("text", "lr", "epochs"),
    [
        ("defaults: {recipe: timm-style}\nmatrix: {model: [lenet5]}", 2.8e-3, 100),
        ("defaults: {recipe: timm-style, lr: 1e-2}\nmatrix: {model: [lenet5]}", 1e-2, 100),
        ("defaults: {lr: 1e-2}\nmatrix: {model: [lenet5], recipe: [timm-style], epochs: [7]}", 1e-2, 7),
        (
            "matrix: {model: [lenet5]}\noverrides: [{when: {model: lenet5}, set: {recipe: timm-style, epochs: 8}}]",
            2.8e-3,
            8,
        ),
    ],
)
def test_whatever_the_experiment_says_wins_over_the_recipe(text: str, lr: float, epochs: int, tmp_path: Path) -> None:
    (run,) = runs(text, tmp_path)
    assert (run.lr, run.epochs) == (lr, epochs)


def test_a_setting_of_the_command_line_may_name_a_recipe(tmp_path: Path) -> None:
    (run,) = runs("defaults: {model: lenet5}", tmp_path, ("recipe=airbench-style",))
    assert (run.recipe, run.test_flip) == ("airbench-style", True)


def test_cells_are_told_apart_by_their_recipe(tmp_path: Path) -> None:
    text = "matrix: {model: [lenet5], recipe: [timm-style, airbench-style]}\nexclude: [{recipe: 'timm*'}]"
    assert [each.recipe for each in runs(text, tmp_path)] == ["airbench-style"]
    text = "matrix: {model: [lenet5], recipe: [timm-style, airbench-style]}\nexclude: [{optimizer: sgd}]"
    assert [each.recipe for each in runs(text, tmp_path)] == ["timm-style"]


def test_a_recipes_name_is_no_part_of_the_identity_its_keys_are(tmp_path: Path) -> None:
    named, plain = runs("matrix: {model: [lenet5], recipe: [airbench-style, '']}", tmp_path)
    keys = {key: given.value for key, given in recipes.read("airbench-style").keys.items()}
    assert named.run_id != plain.run_id
    assert named.run_id == Run(plain.data, "lenet5", **keys).run_id


def test_labels_name_the_recipe_in_place_of_all_its_keys(tmp_path: Path) -> None:
    text = "defaults: {model: lenet5}\nmatrix: {recipe: [timm-style, airbench-style], lr: [1e-3, 1e-2]}"
    settings = {each.configuration_id: each.hyperparameters for each in runs(text, tmp_path)}
    assert varying_keys(list(settings.values())) == ("recipe", "lr")
    assert "lenet5, recipe timm-style, lr 1e-3" in labels(settings).values()
    fixed = common(list(settings.values()))
    assert "optimizer" not in fixed, "the recipes differ in it"
    assert fixed["image_size"] is None


def test_a_recipe_of_ones_own_is_found_beside_the_experiment(tmp_path: Path) -> None:
    (tmp_path / "mine кот.yaml").write_text("description: Mine.\nset: {lr: 0.5, model_args: {activation: relu}}\n")
    text = "defaults: {model: lenet5, model_args: {pooling: max}, recipe: 'mine кот.yaml'}"
    (run,) = runs(text, tmp_path)
    assert (run.recipe, run.lr) == ("mine кот", 0.5)
    assert run.model_args == {"activation": "relu", "pooling": "max"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("set: {lr: -1}", "bad.yaml:1:11: lr must be a number greater than 0, not -1"),
        ("set: {model: lenet5}", "bad.yaml:1:7: unknown key 'model'"),
        ("set: {seed: 1}", "bad.yaml:1:7: unknown key 'seed'"),
        ("sets: {lr: 1}", "bad.yaml:1:1: a recipe is a mapping of description, source and set"),
        ("description: 3\nset: {}", "bad.yaml:1:14: description must be text, not 3"),
        ("set: {lr: 1}\nmore: 1", "bad.yaml:2:1: unknown key 'more'; allowed: description, source, set"),
        ("- 1", "a recipe is a mapping of description, source and set"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said_at_its_place(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(content)
    assert any(message in each for each in errors("defaults: {model: lenet5, recipe: bad.yaml}", tmp_path))


def test_a_recipe_that_is_not_there_is_said_where_it_is_named(tmp_path: Path) -> None:
    (message,) = errors("defaults: {model: lenet5, recipe: none.yaml}", tmp_path)
    assert "x.yaml:3:35: recipe" in message
    assert "none.yaml cannot be read: No such file" in message
    (message,) = errors("matrix: {model: [lenet5], recipe: [air-bench]}", tmp_path)
    assert "unknown recipe 'air-bench'" in message
    assert "did you mean 'airbench-style'?" in message


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("name", [each for each in recipes.names() if "pretrained" not in recipes.read(each).keys])
def test_every_recipe_from_random_weights_trains(name: str, tmp_path: Path) -> None:
    text = f"""
name: recipe
data: {{source: synthetic, train_size: 400, test_size: 100, classes: 3, size: 32}}
defaults: {{recipe: {name}, model: small/densenet, epochs: 12, batch_size: 32}}
launch: {{profile: false}}
"""
    (tmp_path / "experiments.yaml").write_text(text)
    command = Command(tmp_path, tmp_path / "cache")
    assert "1 of 1 runs done" in command("run")
    document = json.loads((tmp_path / "results" / "recipe" / "leaderboard.json").read_text())
    (row,) = document["rows"]
    assert row["hyperparameters"]["recipe"] == name
    assert row["runs"][0]["metrics"]["test/accuracy"] > 0.6
