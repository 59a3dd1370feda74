"""A search that chooses configurations: what it may choose, what it chooses, and what a kill changes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmark import proposing, trials
from benchmark.config import ConfigError, Experiment, parse
from benchmark.config.sampling import Shares
from benchmark.config.space import Space
from benchmark.planned import planned, trial_problem
from benchmark.preparing import UsageProblem
from tests.test_cli import Command
from tests.test_search import epochs, kill_after, made, quality

AXES = "lr: {log: [1e-5, 1e-1]}, weight_decay: [0, 0.05, 0.2], seed: [0, 1]"
TINY = f"""name: tiny
data: {{source: synthetic, train_size: 300, test_size: 60, classes: 3, size: 12}}
defaults: {{model: lenet5, epochs: 3, batch_size: 32}}
matrix: {{{AXES}}}
launch: {{workers: 2, profile: false}}
"""
TEXT = "name: a\ndefaults: {{model: lenet5}}\nmatrix: {{{}}}\nsearch: {{strategy: optuna, {}}}\n"
SEARCH = "search: {{strategy: optuna, trials: {}, startup: 3, batch: 2}}\n"


def experiment(axes: str = AXES, search: str = "trials: 9, startup: 3", chosen: tuple[Shares, ...] = ()) -> Experiment:
    return parse(TEXT.format(axes, search), Path("a.yaml"), chosen=chosen)


def space(axes: str = AXES, search: str = "trials: 9, startup: 3", chosen: tuple[Shares, ...] = ()) -> Space:
    found = experiment(axes, search, chosen).space
    assert found is not None
    return found


def test_the_first_trials_are_those_of_a_random_matrix_and_each_has_all_seeds() -> None:
    found = experiment()
    drawn = parse(f"name: a\ndefaults: {{model: lenet5}}\nmatrix: {{{AXES}, random: {{samples: 3}}}}\n", Path("a.yaml"))
    assert [each.run for each in found.cells] == [each.run for each in drawn.cells]
    assert [each.trial for each in found.cells] == [each for each in space().tried for _ in range(2)]


def test_chosen_trials_follow_and_equal_ones_count_once() -> None:
    first = space().tried
    found = experiment(chosen=((0.5, 0.5), first[0], (0.5, 0.4), (0.75, 0.0)))
    runs = [each.run for each in found.cells if each.run.seed == 0][3:]
    assert [(run.lr, run.weight_decay) for run in runs] == [(0.001, 0.05), (0.01, 0.0)]


def test_more_trials_are_not_taken_than_were_asked_for() -> None:
    chosen = tuple((place / 10, 0.5) for place in range(10))
    assert len(space(search="trials: 5, startup: 3", chosen=chosen).tried) == 5
    assert len(space(search="trials: 2", chosen=chosen).tried) == 2


@pytest.mark.parametrize(
    ("axes", "search", "words"),
    [
        (AXES, "trials: 0", "trials must be a whole number at least 1"),
        (AXES, "startup: 3", "say how many configurations are tried: trials: 50"),
        (AXES, "trials: 9, reduction: 3", "reduction means nothing with strategy: optuna"),
        (f"{AXES}, random: {{samples: 3}}", "trials: 9", "the search draws its trials itself: leave random out"),
        ("lr: [1, 2], weight_decay: [0, 1, 2]", "trials: 9", "only 6 different configurations; set trials: 6"),
        ("batch_size: {linear: [1, 4]}", "trials: 9", "only 4 different configurations; set trials: 4"),
        ("seed: [0, 1]", "trials: 9", "1 different configurations"),
        ("lr: {linear: [0.001, 0.001002]}", "trials: 9", "only 3 different configurations; set trials: 3"),
        (AXES, "trials: 10001", "10,001 trials would have 20,002 cells; at most 20,000 fit one experiment"),
        ("seed: {linear: [0, 9]}, lr: {log: [1, 2]}", "trials: 9", "say how many values: n: 4"),
    ],
)
def test_what_cannot_be_searched_is_refused(axes: str, search: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        experiment(axes, search)
    assert any(words in each.message for each in refused.value.problems), refused.value.problems
    assert all(each.line is not None for each in refused.value.problems)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("models: {resnit*: {lr: 1}}", "no cell can have a model of this name"),
        ("exclude: [{model: lenet5, weight_decay: 0.1}]", "this exclude can match no cell"),
        ("overrides: [{when: {optimizer: sgd}, set: {lr: 0.1}}]", "this override can match no cell"),
    ],
)
def test_a_pattern_that_nothing_can_match_is_refused(more: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(TEXT.format(AXES, "trials: 9") + more, Path("a.yaml"))


def test_what_an_override_makes_equal_counts_once() -> None:
    axes = "lr: {log: [1e-5, 1e-1]}, optimizer: [sgd, adamw]"
    more = "overrides: [{when: {optimizer: sgd}, set: {lr: 0.1}}]"
    found = parse(TEXT.format(axes, "trials: 20, startup: 10") + more, Path("a.yaml"))
    assert sum(cell.run.optimizer == "sgd" for cell in found.cells) == 1
    assert found.space is not None
    assert len(found.space.tried) == 10


def test_cells_beside_the_search_are_counted_once() -> None:
    includes = ", ".join(f"{{lr: {number + 2}}}" for number in range(300))
    assert parse(TEXT.format("lr: {log: [1e-5, 1]}", "trials: 9000, startup: 3") + f"include: [{includes}]", Path("a"))


def test_trials_that_a_longer_beginning_draws_too_count_once() -> None:
    axes = "lr: [1, 2, 3], weight_decay: [0, 1, 2]"
    drawn = space(axes, "trials: 9, startup: 9").tried
    found = space(axes, "trials: 6, startup: 5", (drawn[3], drawn[4], drawn[7], drawn[8]))
    assert [found.same(each) for each in found.tried] == [found.same(each) for each in (*drawn[:5], drawn[7])]


@pytest.mark.parametrize("matrix", ["", "matrix: [{lr: [1, 2]}, {lr: [3, 4]}]\n"])
def test_a_search_needs_one_matrix(matrix: str) -> None:
    text = f"name: a\ndefaults: {{model: lenet5}}\n{matrix}search: {{strategy: optuna, trials: 2}}\n"
    with pytest.raises(ConfigError, match="a search chooses from one matrix"):
        parse(text, Path("a.yaml"))


def test_other_strategies_have_no_trials() -> None:
    with pytest.raises(ConfigError, match="trials means nothing with strategy: halving"):
        parse("name: a\nmatrix: {model: [lenet5]}\nsearch: {strategy: halving, trials: 9}\n", Path("a.yaml"))
    assert parse("name: a\nmatrix: {model: [lenet5]}\nsearch: {strategy: none, trials: 9}\n", Path("a")).space is None


def test_what_fits_no_trial_yet_may_fit_a_later_one() -> None:
    text = """name: a
matrix: {model: [lenet5, resnet18, small/vit], lr: {log: [1e-5, 1e-1]}}
models: {resnet18: {optimizer: sgd}, lenet5: {optimizer: sgd}, small/vit: {optimizer: sgd}}
exclude: [{model: resnet18, lr: 0.5}]
overrides: [{when: {model: small/vit}, set: {batch_size: 8}}]
search: {strategy: optuna, trials: 9, startup: 1}
"""
    assert len(parse(text, Path("a.yaml")).cells) == 1


def better_towards(target: float, shares: Shares) -> float:
    """The best is at ``target`` of the first axis and in the second row of the second."""
    return -((shares[0] - target) ** 2) - (int(shares[1] * 3) != 1)


def searched(seed: int, target: float, count: int) -> Space:
    """After so many trials."""
    chosen: tuple[Shares, ...] = ()
    while True:
        found = space(search=f"trials: {count}, startup: 5, seed: {seed}", chosen=chosen)
        if len(found.tried) == count:
            return found
        values = {each: better_towards(target, each) for each in found.tried}
        chosen += tuple(proposing.propose(found, values, 5))


def test_it_comes_nearer_to_the_best_than_draws_do() -> None:
    ours, drawn = [], []
    for seed in range(6):
        target = random.Random(seed).random()
        ours.append(max(better_towards(target, each) for each in searched(seed, target, 30).tried))
        draws = space(search=f"trials: 30, startup: 30, seed: {seed}").tried
        drawn.append(max(better_towards(target, each) for each in draws))
    assert sorted(ours)[2:4] > sorted(drawn)[2:4]


def test_the_same_results_and_seed_choose_the_same_and_others_do_not() -> None:
    assert searched(1, 0.3, 15).tried == searched(1, 0.3, 15).tried
    assert searched(1, 0.3, 15).tried[:5] == searched(1, 0.8, 15).tried[:5]
    assert searched(1, 0.3, 15).tried != searched(1, 0.8, 15).tried
    assert set(searched(1, 0.3, 15).tried).isdisjoint(searched(2, 0.3, 15).tried)


def test_how_many_were_passed_over_is_told_with_the_first_reason() -> None:
    fits = trials.Fitting(lambda _, shares: "its warm-up is too long" if shares[0] > 0.5 else None, lambda: False)
    assert fits((0.1,))
    assert fits.lines == []
    assert [fits((0.9,)), fits((0.8,))] == [False, False]
    assert fits.lines == ["the search passed over 2 trials that cannot be trained (the first: its warm-up is too long)"]


def test_no_more_trials_are_tried_than_are_wanted() -> None:
    tried: list[Shares] = []

    def fits(shares: Shares) -> bool:
        tried.append(shares)
        return True

    found = space("lr: {log: [1e-4, 1e-1]}, seed: [0]", "trials: 9, startup: 2")
    further = proposing.propose(found, dict.fromkeys(found.tried, 1.0), 3, fits)
    assert tried == further
    assert len(further) == 3


def test_a_small_space_is_tried_to_its_end_and_failures_are_no_obstacle() -> None:
    axes = "lr: [1, 2, 3], weight_decay: [0, 1, 2], seed: [0, 1]"
    found = space(axes, "trials: 9, startup: 2")
    values: dict[Shares, float | None] = {found.tried[0]: None, found.tried[1]: 1.0}
    further = proposing.propose(found, values, 100)
    assert len(further) == 7
    some = proposing.propose(found, values, 100, lambda shares: shares[0] < 0.5)
    assert some
    assert all(shares[0] < 0.5 for shares in some)
    assert len(space(axes, "trials: 9, startup: 2", tuple(further)).tried) == 9
    assert len(proposing.propose(found, dict.fromkeys(found.tried), 3)) == 3


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"SAME": [["x", "y"]]}', '{"SAME": [[0.5]]}', '{"SAME": [[0.5, 1.0]]}', '{"SAME": [[NaN, 0.1]]}',
     '{"SAME": 3}', '{"SAME": [0.1, 0.2]}'],
)  # fmt: skip
def test_a_damaged_file_of_trials_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / trials.FILE).write_text(text.replace("SAME", space().digest))
    with pytest.raises(UsageProblem, match=r"trials\.json .*: remove it"):
        trials.chosen(tmp_path, space())


def test_trials_of_other_axes_count_for_nothing(tmp_path: Path) -> None:
    (tmp_path / trials.FILE).write_text(json.dumps({space().digest: [[0.5, 0.1]]}))
    assert trials.chosen(tmp_path, space()) == ((0.5, 0.1),)
    assert trials.chosen(tmp_path, space(search="trials: 99, startup: 7, metric: val/log_loss")) == ((0.5, 0.1),)
    assert trials.chosen(tmp_path, space(AXES.replace("0.2", "0.3"))) == ()
    assert trials.chosen(tmp_path, space(AXES.replace("[0, 1]", "[0, 1, 2]"))) == ()
    assert trials.chosen(tmp_path, space(search="trials: 9, seed: 1")) == ()
    shorter = parse(TEXT.format(AXES, "trials: 9, startup: 3"), Path("a.yaml"), ["epochs=1"]).space
    assert shorter is not None
    assert trials.chosen(tmp_path, shorter) == (), "a quick look before the real one"


def test_without_optuna_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.options import Options
    from benchmark.session import Session

    (tmp_path / "a.yaml").write_text(TINY + SEARCH.format(5))
    monkeypatch.setattr(proposing, "is_installed", lambda: False)
    with pytest.raises(UsageProblem, match=r"torch-image-benchmark\[optuna\]"):
        Session.open(tmp_path / "a.yaml", (), tmp_path / "results", Options())
    assert not (tmp_path / "results").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Command:
    return made(tmp_path_factory.mktemp("кот #1") / "whole", TINY + SEARCH.format(7))


@pytest.mark.slow
def test_a_search_chooses_by_results_and_more_trials_go_on(whole: Command) -> None:
    assert "3 of 7 trials are chosen" in whole("plan", "--no-probe")
    said = whole("run")
    assert "5 of 7 trials are chosen" in said
    assert said.count("leaderboard:") == 1
    board = json.loads((whole.home / "results/tiny/leaderboard.json").read_text())
    assert board["counts"] == {"done": 14, "failed": 0, "pending": 0}
    assert [len(row["runs"]) for row in board["rows"]] == [2] * 7
    (found,) = json.loads((whole.home / "results/tiny" / trials.FILE).read_text()).values()
    assert len(found) == 4
    assert "0 to run" in whole("run")

    (whole.home / "experiments.yaml").write_text(TINY + SEARCH.format(8))
    before = quality(whole)
    assert json.loads(whole("status", "--json"))["search"] == {"trials": 7, "of": 8}
    whole("run", "--limit", "1")
    whole("run")
    after = quality(whole)
    assert {name: after[name] for name in before} == before
    assert len(after) == 16


@pytest.mark.nightly
def test_a_kill_changes_nothing(whole: Command, tmp_path: Path) -> None:
    (whole.home / "experiments.yaml").write_text(TINY + SEARCH.format(8))
    whole("run")
    killed = made(tmp_path / "killed", TINY + SEARCH.format(8))
    for seen in (4, 20, 33):
        kill_after(seen, killed)
    killed("run", "--workers", "1")
    assert quality(killed) == quality(whole)
    assert epochs(killed) == epochs(whole)


def test_a_trial_is_tried_beside_the_others(tmp_path: Path) -> None:
    """Each of the sizes can be trained; enlarged to the network's smallest they are the same run."""
    text = """name: a
data: {source: synthetic, train_size: 90, test_size: 30, classes: 3}
defaults: {model: torchvision/googlenet, resize: auto}
matrix: {image_size: {linear: [8, 12]}, lr: {log: [1e-4, 1e-1]}}
search: {strategy: optuna, trials: 9, startup: 1}
"""
    path = tmp_path / "a.yaml"
    path.write_text(text)
    plan = planned(path, (), tmp_path / "results").plan
    assert trial_problem(path, (), plan, [], (0.1, 0.5)) is None
    problem = trial_problem(path, (), plan, [(0.1, 0.5)], (0.9, 0.5))
    assert problem is not None
    assert "the same run" in problem
    assert trial_problem(path, (), plan, [], (0.1, 0.5)) is None
    path.write_text(text + "exclude: [{lr: '< 1e-3'}]\n")
    assert trial_problem(path, (), plan, [], (0.9, 0.1)) == "it is excluded, or equal to another one"


ODD = """name: tiny
data: {source: synthetic, train_size: 300, test_size: 60, classes: 3, size: 12}
defaults: {model: lenet5, epochs: 1, batch_size: 32}
matrix: {lr: {log: [1e-4, 1e-1]}, warmup_epochs: [0, 3], model_args: [{}, {nonsense: 1}]}
launch: {workers: 1, profile: false}
search: {strategy: optuna, trials: 4, startup: 1, batch: 2}
"""


@pytest.mark.slow
def test_places_that_cannot_be_trained_are_passed_over_and_limits_hold_for_all_batches(tmp_path: Path) -> None:
    """A warm-up longer than the training, and an argument that the network does not have."""
    command = made(tmp_path, ODD.replace("search: {", "search: {seed: SEED, "))
    yaml = command.home / "experiments.yaml"
    seed = next(seed for seed in range(99) if _begins_well(yaml.read_text().replace("SEED", str(seed))))
    yaml.write_text(yaml.read_text().replace("SEED", str(seed)))
    said = command("run", "--limit", "2")
    assert said.count("compare the runs:") == 1, "MLflow is given the leaderboard once"
    assert json.loads(command("status", "--json"))["states"] == {"done": 2, "new": 1}
    assert "next: python -m benchmark run" in command("status")
    command("run")
    rows = command.leaderboard()["rows"]
    assert len(rows) == 4
    assert all("warmup" not in row["label"] and "nonsense" not in row["label"] for row in rows)
    assert "next: python -m benchmark report" in command("status")


def _begins_well(text: str) -> bool:
    try:
        (cell,) = parse(text, Path("a.yaml")).cells
    except ConfigError:
        return False
    return not cell.run.model_args
