"""``extends``: a file that begins where another one ends; and ``--only``."""

from pathlib import Path

import pytest

from benchmark.config import ConfigError, Experiment, load, selection

BASE = """
name: base
description: of the base
data: {source: folder, path: photos}
defaults: {epochs: 3, lr: 1e-3}
models: {resnet18: {lr: 0.5}}
matrix: {model: [lenet5, resnet18], seed: [0, 1]}
launch: {workers: 2, retries: 5}
"""


def write(directory: Path, **texts: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (directory / f"{name}.yaml").write_text(text)
    return directory / f"{next(iter(texts))}.yaml"


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [str(each).replace(f"{path.parent}/", "") for each in caught.value.problems]


def keys(experiment: Experiment, *names: str) -> list[tuple[object, ...]]:
    return [tuple(getattr(cell.run, name) for name in names) for cell in experiment.cells]


def test_sections_are_merged_and_the_matrix_is_replaced(tmp_path: Path) -> None:
    mine = "name: mine\nextends: base.yaml\ndefaults: {lr: 1e-2}\nlaunch: {workers: 1}\nmatrix: {model: resnet18}\n"
    found = load(write(tmp_path, mine=mine, base=BASE))
    assert keys(found, "model", "epochs", "lr", "seed") == [("resnet18", 3, 0.5, 0)]
    assert (found.name, found.description) == ("mine", "")
    assert (found.launch.workers, found.launch.retries) == (1, 5)


def test_paths_are_relative_to_the_file_in_which_they_stand(tmp_path: Path) -> None:
    write(tmp_path / "shared", base=BASE)
    found = load(write(tmp_path, mine="name: mine\nextends: shared/base.yaml\n"))
    assert {cell.run.data.path for cell in found.cells} == {str(tmp_path / "shared" / "photos")}
    own = "name: mine\nextends: shared/base.yaml\ndata: {source: folder, path: photos}\n"
    assert load(write(tmp_path, mine=own)).cells[0].run.data.path == str(tmp_path / "photos")


def test_a_base_may_extend_another(tmp_path: Path) -> None:
    middle = "extends: base.yaml\ndefaults: {lr: 1e-2}\nmodels: {lenet5: {lr: 7}}\n"
    found = load(write(tmp_path, mine="name: mine\nextends: middle.yaml\n", middle=middle, base=BASE))
    assert keys(found, "model", "lr", "seed")[:2] == [("lenet5", 7.0, 0), ("lenet5", 7.0, 1)]


def test_errors_name_the_file_in_which_the_value_stands(tmp_path: Path) -> None:
    base = BASE.replace("epochs: 3", "epochs: 0").replace("workers: 2", "workers: 0")
    found = problems(write(tmp_path, mine="name: mine\nextends: base.yaml\ndefaults: {lr: no}\n", base=base))
    assert found == [
        "base.yaml:5:20: epochs must be a whole number at least 1, not 0",
        "base.yaml:8:19: workers must be a whole number at least 1 or auto, not 0",
        "mine.yaml:3:16: lr must be a number greater than 0, not 'no'",
    ]


@pytest.mark.parametrize(
    ("extends", "expected"),
    [
        ("mine.yaml", "mine.yaml:2:10: mine.yaml extends itself"),
        ("./x/../mine.yaml", "mine.yaml:2:10: ./x/../mine.yaml extends itself"),
        ("loop.yaml", "loop.yaml:1:10: mine.yaml extends itself"),
        ("missing.yaml", "mine.yaml:2:10: missing.yaml cannot be read: No such file or directory"),
        (".", "mine.yaml:2:10: . is not a file"),
        ("[a, b]", "mine.yaml:2:10: extends must be the path of a YAML file, not ['a', 'b']"),
        ("list.yaml", "list.yaml:1:1: an experiment is a mapping; begin with name, data and matrix"),
    ],
)
def test_a_base_that_cannot_be_is_an_error(tmp_path: Path, extends: str, expected: str) -> None:
    (tmp_path / "x").mkdir()
    write(tmp_path, loop="extends: mine.yaml\n", list="[1, 2]\n")
    assert problems(write(tmp_path, mine=f"name: mine\nextends: {extends}\n")) == [expected]


def test_a_long_chain_is_refused(tmp_path: Path) -> None:
    write(tmp_path, **{f"a{number}": f"extends: a{number + 1}.yaml\n" for number in range(20)})
    (found,) = problems(write(tmp_path, mine="name: mine\nextends: a0.yaml\n"))
    assert "more than 8 files extend one another" in found


def test_the_name_is_not_inherited(tmp_path: Path) -> None:
    assert "write name: mine" in problems(write(tmp_path, mine="extends: base.yaml\n", base=BASE))[0]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (["model=resnet*"], [("resnet18", 0), ("resnet18", 1)]),
        (["model=*18", "seed=1"], [("resnet18", 1)]),
        (["seed=>= 1"], [("lenet5", 1), ("resnet18", 1)]),
        (["model=[lenet5, resnet50]", "seed=0"], [("lenet5", 0)]),
        (["data=folder", "seed=0", "lr=0.5"], [("resnet18", 0)]),
        ([], [("lenet5", 0), ("lenet5", 1), ("resnet18", 0), ("resnet18", 1)]),
    ],
)
def test_only_some_runs_are_selected(tmp_path: Path, only: list[str], expected: list[tuple[str, int]]) -> None:
    wanted = selection(only)
    runs = [cell.run for cell in load(write(tmp_path, base=BASE)).cells]
    assert [(run.model, run.seed) for run in runs if run in wanted] == expected


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("model", "--only model: write key=value"),
        ("modle=a", "did you mean 'model'"),
        ("seed=x", "seed must be a whole number"),
        ("model=[a", "--only model=[a: "),
        ("epochs=> many", "epochs is compared as in"),
    ],
)
def test_a_selection_that_cannot_be_is_an_error(only: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        selection([only])
    assert expected in str(caught.value)
