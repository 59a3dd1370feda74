import time
from pathlib import Path

import pytest

from benchmark.catalogue import Names
from benchmark.config import ConfigError, parse
from benchmark.run import Run

MODELS = ["lenet5", "resnet18", "resnet50", "vit_tiny_patch16_224", "vit_small_patch16_224"]
KNOWN = Names(frozenset(MODELS), frozenset({"adamw", "adam", "sgd", "momentum", "rmsprop", "lion"}))


def load(text, *settings):
    return parse("name: a\n" + text, Path("/photos/experiments.yaml"), settings, KNOWN)


def runs(text, *settings):
    return [cell.run for cell in load(text, *settings).cells]


def chosen(text, *keys, settings=()):
    return [tuple(getattr(run, key) for key in keys) for run in runs(text, *settings)]


def problems(text, *settings):
    with pytest.raises(ConfigError) as caught:
        load(text, *settings)
    return [str(each).removeprefix("/photos/experiments.yaml:") for each in caught.value.problems]


def test_a_matrix_is_the_product_of_its_axes_in_the_order_of_the_text():
    text = "matrix: {model: [lenet5, resnet18], lr: [1e-3, 3e-4]}"
    assert chosen(text, "model", "lr") == [
        ("lenet5", 0.001),
        ("lenet5", 0.0003),
        ("resnet18", 0.001),
        ("resnet18", 0.0003),
    ]


def test_a_scalar_in_a_matrix_is_a_list_of_one():
    assert chosen("matrix: {model: lenet5, lr: 1}", "model", "lr") == [("lenet5", 1.0)]


def test_without_a_matrix_the_defaults_are_one_cell():
    (run,) = runs("defaults: {model: lenet5, epochs: 2}")
    assert run == Run(data=run.data, model="lenet5", epochs=2)


def test_seed_is_an_axis_and_may_stand_in_defaults_too():
    assert chosen("matrix: {model: lenet5, seed: [0, 7]}", "seed") == [(0,), (7,)]
    assert chosen("defaults: {seed: 5}\nmatrix: {model: lenet5}", "seed") == [(5,)]
    assert chosen("defaults: {seed: 5}\nmatrix: {model: lenet5, seed: [1]}", "seed") == [(1,)]


def test_data_may_be_an_axis_of_the_matrix():
    text = "matrix: {model: lenet5, data: [digits, {source: folder, path: ./cats, image_size: 64}]}"
    digits, cats = runs(text)
    assert (digits.data.source, digits.image_size) == ("digits", None)
    assert (cats.data.path, cats.image_size) == ("/photos/cats", 64)


def test_a_key_may_be_a_list_of_keys_for_paired_values():
    text = 'matrix: {model: lenet5, "lr, weight_decay": [[1e-3, 0.05], [1e-2, 0]]}'
    assert chosen(text, "lr", "weight_decay") == [(0.001, 0.05), (0.01, 0.0)]


def test_several_matrices_are_united_and_equal_cells_count_once():
    text = "matrix:\n  - {model: [lenet5, resnet18]}\n  - {model: lenet5, lr: [1e-3, 1e-2]}\n"
    assert chosen(text, "model", "lr") == [("lenet5", 0.001), ("resnet18", 0.001), ("lenet5", 0.01)]


def test_mappings_in_a_matrix_are_a_list_of_mappings():
    text = "matrix: {model: lenet5, model_args: [{}, {depth: 2}]}"
    assert chosen(text, "model_args") == [({},), ({"depth": 2},)]
    assert problems("matrix: {model: lenet5, model_args: {depth: 2}}") == [
        "2:37: model_args in a matrix must be a list of mappings: write [{…}]"
    ]


def test_exclude_removes_cells_that_match_all_its_keys():
    text = "matrix: {model: [lenet5, vit_tiny_patch16_224], lr: [1e-3, 1e-2]}\nexclude: [{model: 'vit_*', lr: 1e-3}]"
    assert ("vit_tiny_patch16_224", 0.001) not in chosen(text, "model", "lr")
    assert len(runs(text)) == 3


def test_exclude_takes_lists_as_alternatives():
    text = "matrix: {model: [lenet5, resnet18], lr: [1, 2, 3]}\nexclude: [{model: [len*, x*], lr: [1, 3]}]"
    assert chosen(text, "model", "lr") == [("lenet5", 2.0), ("resnet18", 1.0), ("resnet18", 2.0), ("resnet18", 3.0)]


def test_exclude_sees_defaults_data_and_entries_of_mappings():
    start = "data: digits\nmatrix: {model: [lenet5, resnet18], model_args: [{a: 1, b: 2}, {a: 2, b: 2}]}\n"
    assert len(runs(start + "exclude: [{model_args: {a: 1}}]")) == 2
    assert len(runs(start + "exclude: [{optimizer: adam*, model: lenet5}]")) == 2
    assert len(runs(start + "exclude: [{data: dig*, model: lenet5}]")) == 2
    assert len(runs(start + "exclude: [{data: {source: digits, split_seed: 0}, model: lenet5}]")) == 2


def test_exclude_comes_before_overrides():
    start = (
        "matrix: {model: [lenet5, resnet18], lr: [1, 2]}\noverrides: [{when: {model: lenet5, lr: 2}, set: {lr: 3}}]\n"
    )
    assert chosen(start + "exclude: [{lr: 1}]", "lr") == [(3.0,), (2.0,)]
    assert "matches no cell" in problems(start + "exclude: [{lr: 3}]")[0]


def test_exclude_leaves_included_cells():
    text = "matrix: {model: [lenet5, resnet18]}\nexclude: [{model: resnet*}]\ninclude: [{model: resnet50}]"
    assert chosen(text, "model") == [("lenet5",), ("resnet50",)]


def test_include_adds_cells_whose_other_keys_take_their_defaults():
    text = "defaults: {lr: 0.5}\nmatrix: {model: lenet5, lr: [1, 2]}\ninclude: [{model: resnet50, epochs: 9}]"
    assert chosen(text, "model", "lr", "epochs")[2:] == [("resnet50", 0.5, 9)]


def test_include_is_crossed_with_the_seed_and_data_axes():
    text = "matrix: {model: lenet5, seed: [0, 1], data: [digits, synthetic]}\ninclude: [{model: resnet50}]"
    crossed = [(run.seed, run.data.source) for run in runs(text) if run.model == "resnet50"]
    assert sorted(crossed) == [(0, "digits"), (0, "synthetic"), (1, "digits"), (1, "synthetic")]


def test_include_that_names_the_seed_is_not_crossed_with_it():
    text = "matrix: {model: lenet5, seed: [0, 1]}\ninclude: [{model: resnet50, seed: 9}]"
    assert chosen(text, "model", "seed")[2:] == [("resnet50", 9)]


def test_an_include_equal_to_a_cell_of_the_matrix_counts_once():
    assert len(runs("matrix: {model: [lenet5, resnet18]}\ninclude: [{model: lenet5, lr: 1e-3}]")) == 2


def test_includes_alone_are_an_experiment():
    assert chosen("include: [{model: lenet5}, {model: resnet18}]", "model") == [("lenet5",), ("resnet18",)]


def test_overrides_set_keys_where_they_match_and_later_ones_win():
    text = (
        "matrix: {model: [lenet5, vit_tiny_patch16_224]}\n"
        "overrides:\n"
        "  - {when: {model: 'vit_*'}, set: {lr: 5, epochs: 7}}\n"
        "  - {when: {lr: 1e-3}, set: {lr: 6}}\n"
    )
    assert chosen(text, "lr", "epochs") == [(6.0, 5), (6.0, 7)], "when sees the cell before any override"


def test_overrides_reach_included_cells():
    text = "include: [{model: lenet5}]\noverrides: [{when: {model: '*'}, set: {epochs: 2}}]"
    assert chosen(text, "epochs") == [(2,)]


def test_each_layer_wins_over_the_one_below_it():
    defaults = "defaults: {epochs: 6}\n"
    matrix = "matrix: {model: lenet5, epochs: 7}\n"
    overrides = "overrides: [{when: {model: lenet5}, set: {epochs: 8}}]\n"
    assert chosen("matrix: {model: lenet5}", "epochs") == [(5,)]
    assert chosen(defaults + "matrix: {model: lenet5}", "epochs") == [(6,)]
    assert chosen(defaults + matrix, "epochs") == [(7,)]
    assert chosen(defaults + "include: [{model: lenet5, epochs: 7}]", "epochs") == [(7,)]
    assert chosen(defaults + matrix + overrides, "epochs") == [(8,)]
    assert chosen(defaults + matrix + overrides, "epochs", settings=["epochs=9"]) == [(9,)]


def test_keys_in_the_data_mapping_win_over_built_in_and_lose_to_explicit_ones():
    data = "data: {source: folder, path: cats, image_size: 64, resize: pad, channels: 1}\n"
    assert chosen(data + "matrix: {model: lenet5}", "image_size", "resize", "channels") == [(64, "pad", 1)]
    assert chosen(data + "defaults: {image_size: 32}\nmatrix: {model: lenet5}", "image_size") == [(32,)]


def test_arguments_are_merged_entry_by_entry_at_every_depth():
    text = (
        "defaults: {model_args: {a: 1, b: {c: 2, d: 3}}}\n"
        "matrix: {model: lenet5, model_args: [{b: {c: 4}}]}\n"
        "overrides: [{when: {model: lenet5}, set: {model_args: {e: 5}}}]"
    )
    expected = {"a": 1, "b": {"c": 4, "d": 3}, "e": 6}
    assert chosen(text, "model_args", settings=["model_args.e=6"]) == [(expected,)]


def test_cells_made_equal_by_an_override_are_an_error_naming_both():
    text = "matrix: {model: lenet5, lr: [1, 2]}\noverrides: [{when: {lr: 2}, set: {lr: 1}}]"
    assert problems(text) == ["3:39: this makes two cells equal: (model lenet5, lr 1.0) and (model lenet5, lr 2.0)"]


def test_cells_made_equal_by_set_are_an_error_naming_both():
    assert problems("matrix: {model: lenet5, seed: [0, 1]}", "seed=3") == [
        "--set seed=3: this makes two cells equal: (model lenet5, seed 0) and (model lenet5, seed 1)"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("matrix: {model: lenet5, lr: []}", "2:29: lr has an empty list; give a value or leave the key out"),
        ("matrix: {model: lenet5, seed: [1, 2, 1]}", "2:38: 1 stands twice; the first is in line 2"),
        ("matrix: {model: lenet5, lr: [1, 1.0]}", "2:33: 1.0 stands twice; the first is in line 2"),
        ("matrix: {model: lenet5, lr: [[1]]}", "2:30: lr must be a number greater than 0, not [1]"),
        ("matrix: {model: lenet5, 'lr, seed': [[1, 2], 3]}", "2:46: each value here must be a list of 2: [lr, seed]"),
        ("matrix: {model: lenet5, lr: 1, 'lr, seed': [[1, 2]]}", "2:32: lr is in this matrix twice"),
        ("matrix: {model: lenet5, 'seed, seed': [[1, 2]]}", "2:25: seed is in this matrix twice"),
        ("matrix: []", "2:9: a matrix must be a mapping of keys to lists, not []"),
        ("matrix: {model: lenet5}\ninclude: 5", "3:10: include must be a list of mappings ([{…}]), not 5"),
        ("matrix: 5", "2:9: a matrix must be a mapping of keys to lists, not 5"),
        ("matrix: {model: resnet*}", "2:17: 'resnet*' is a pattern"),
        ("matrix: {model: resnt50}", "2:17: unknown model 'resnt50'; did you mean 'resnet50'?"),
        ("matrix: {lr: [1, 2]}", "2:9: a cell has no model; name one under defaults, matrix or include"),
        ("matrix: {model: lenet5}\nexclude: [{model: resnet*}]", "3:11: this exclude matches no cell of the matrix"),
        ("matrix: {model: lenet5}\nexclude: [{model: '*'}]", "2:9: no cell is left: everything is excluded"),
        ("matrix: {model: lenet5}\nexclude: [{modle: x}]", "3:12: unknown key 'modle'; did you mean 'model'?"),
        ("matrix: {model: lenet5}\nexclude: [{model: lenet}]", "3:19: unknown model 'lenet'; did you mean 'lenet5'?"),
        ("matrix: {model: lenet5}\nexclude: [{lr: []}]", "3:16: lr has an empty list, which matches nothing"),
        ("matrix: {model: lenet5}\noverrides: [{when: {lr: 9}, set: {lr: 1}}]", "3:20: this override matches no cell"),
        ("matrix: {model: lenet5}\noverrides: [{when: {lr: 9}}]", "3:13: an override is {when:"),
        ("matrix: {model: lenet5}\noverrides: [{when: {}, set: {lr: 1}}]", "3:20: this must name keys and values"),
        ("matrix: {model: lenet5}\ninclude: [{lr: [1, 2]}]", "3:16: lr must be a number greater than 0, not [1, 2]"),
        ("matrix: {model: lenet5}\ndefaults: {warmup_epochs: 5}", "3:27: warmup_epochs 5 must be less than epochs 5"),
        ("matrix: {model: lenet5, seed: [0, -1]}", "2:35: seed must be a whole number at least 0 and less than"),
    ],
)
def test_what_cannot_be_meant_is_an_error_at_its_place(text, expected):
    assert problems(text)[0].startswith(expected)


def test_a_matrix_too_large_to_hold_is_refused_before_it_is_made():
    axis = list(range(1, 400))
    text = f"matrix: {{model: lenet5, lr: {axis}, seed: {axis}, weight_decay: {axis}}}"
    assert "cells are too many; at most 20,000" in problems(text)[0]


def test_each_key_of_a_cell_knows_where_its_value_stands():
    text = "defaults: {epochs: 3}\nmatrix: {model: lenet5, lr: [1, 2]}\n"
    second = load(text, "momentum=0.5").cells[1]
    places = {key: (mark.line, mark.column) for key, mark in second.origin.items()}
    assert places == {"epochs": (2, 20), "model": (3, 17), "lr": (3, 33), "momentum": (None, None)}
    assert second.origin["momentum"].path == "--set momentum=0.5"
    assert second.label == "model lenet5, lr 2.0"


def test_four_times_the_cells_take_about_four_times_as_long():
    """Ten thousand, once; `perf/startup.py` says how many seconds that is."""

    def expand(count: int) -> float:
        axis = list(range(1, count + 1))
        text = f"matrix: {{model: {MODELS[:4]}, lr: {axis}, seed: {axis}}}\n"
        text += "exclude: [{model: resnet18, lr: 2}, {lr: 1, seed: 1}]\n"
        text += "overrides: [{when: {model: vit*}, set: {epochs: 2}}]\n"
        started = time.process_time()
        assert len(load(text).cells) == 4 * count**2 - count - 4
        return time.process_time() - started

    assert expand(50) < 10 * min(expand(25), expand(25))


def test_a_log_range_has_both_ends_and_round_values():
    text = "matrix: {model: lenet5, lr: {log: [1e-4, 1e-1], n: 4}}"
    assert chosen(text, "lr") == [(0.0001,), (0.001,), (0.01,), (0.1,)]


def test_a_linear_range_of_whole_numbers_has_whole_numbers():
    text = "matrix: {model: lenet5, batch_size: {linear: [16, 128], n: 3}, seed: {linear: [0, 2], n: 3}}"
    values = chosen(text, "batch_size", "seed")
    assert values[:4] == [(16, 0), (16, 1), (16, 2), (72, 0)]
    assert all(type(size) is int and type(seed) is int for size, seed in values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr: {log: [1e-4, 1e-1]}", "say how many values: n: 4"),
        ("lr: {log: [0, 1], n: 2}", "begins above 0"),
        ("lr: {log: [1, 0.1], n: 2}", "the smaller first"),
        ("lr: {log: [1], n: 2}", "the smaller first"),
        ("lr: {linear: [true, 3], n: 2}", "the smaller first"),
        ("lr: {linear: [.inf, 3], n: 2}", "the smaller first"),
        ("lr: {log: [1, 2], linear: [1, 2], n: 2}", "linear or log"),
        ("lr: {log: [1, 2], n: 1}", "n must be a whole number from 2"),
        ("lr: {log: [1, 2], n: 1e9}", "n must be a whole number from 2"),
        ("lr: {log: [1, 2], steps: 3}", "unknown key 'steps'"),
        ("lr: {linear: [-1, 1], n: 3}", "lr must be a number greater than 0"),
        ("epochs: {linear: [1, 3], n: 5}", "3 different values only"),
        ("optimizer: {log: [1, 2], n: 2}", "optimizer does not hold numbers"),
        ("seed: {linear: [0, 4]}, random: {samples: 2}", "say how many values"),
        ("lr: {linear: [-1, 1]}, random: {samples: 2}", "lr must be a number greater than 0"),
        ("lr: [1, 2], random: {samples: 3}", "only 2 different configurations can be drawn"),
        ("lr: [1, 2], random: {seed: 3}", "random needs samples"),
        ("lr: [1, 2], random: {samples: 0}", "samples must be a whole number at least 1"),
        ("lr: [1, 2], random: {sample: 1}", "did you mean 'samples'"),
        ("lr: [1, 2], random: 20", "must be a mapping"),
        ("lr: {log: [1, 2]}, random: {samples: 20000}, seed: [0, 1]", "cells are too many"),
    ],
)
def test_a_range_or_a_sampling_that_cannot_be_is_an_error_at_its_place(text, expected):
    found = problems(f"matrix: {{model: lenet5, {text}}}")
    assert any(expected in each for each in found), found
    assert all(each.startswith("2:") for each in found), found


RANDOM = "matrix: {{model: [lenet5, resnet18], lr: {{log: [1e-4, 1e-1]}}, random: {{samples: {}, seed: {}}}{}}}"


def test_random_cells_are_the_same_each_time_and_different_for_another_seed():
    first = chosen(RANDOM.format(20, 0, ""), "model", "lr")
    assert first == chosen(RANDOM.format(20, 0, ""), "model", "lr")
    assert first != chosen(RANDOM.format(20, 1, ""), "model", "lr")
    assert len(set(first)) == 20
    assert {model for model, _ in first} == {"lenet5", "resnet18"}
    assert all(1e-4 <= lr <= 1e-1 for _, lr in first)
    assert sum(lr < 1e-3 for _, lr in first) >= 2, "drawn on the log scale"


def test_more_samples_keep_the_earlier_ones():
    assert chosen(RANDOM.format(30, 0, ""), "model", "lr")[:20] == chosen(RANDOM.format(20, 0, ""), "model", "lr")


def test_another_axis_leaves_the_draws_of_the_others():
    plain = chosen(RANDOM.format(10, 0, ""), "model", "lr")
    assert plain == chosen(RANDOM.format(10, 0, ", epochs: {linear: [1, 90]}"), "model", "lr")


def test_samples_are_crossed_with_seeds():
    found = chosen(RANDOM.format(3, 0, ", seed: [0, 1]"), "lr", "seed")
    assert [seed for _, seed in found] == [0, 1] * 3
    assert len({lr for lr, _ in found}) == 3


def test_all_cells_of_a_finite_matrix_can_be_drawn():
    text = "matrix: {model: [lenet5, resnet18], lr: [1, 2, 3], random: {samples: 6}}"
    assert len(set(chosen(text, "model", "lr"))) == 6


def test_defaults_of_models_lie_between_defaults_and_cells():
    text = """
defaults: {lr: 1, epochs: 1}
models: {"resnet*": {lr: 2, epochs: 2}, resnet50: {lr: 3}}
matrix: {model: [lenet5, resnet18, resnet50], epochs: 9}
"""
    assert chosen(text, "model", "lr", "epochs") == [("lenet5", 1, 9), ("resnet18", 2, 9), ("resnet50", 3, 9)]
    included = "models: {lenet5: {lr: 2}}\ninclude: [{model: lenet5}, {model: lenet5, lr: 5}]"
    assert chosen(included, "lr") == [(2.0,), (5.0,)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models: {resnet18: {lr: 1}}\nmatrix: {model: lenet5}", "2:10: no cell has a model of this name"),
        ("models: {lenet: {lr: 1}}\nmatrix: {model: lenet5}", "did you mean 'lenet5'"),
        ("models: {lenet5: {model: resnet18}}\nmatrix: {model: lenet5}", "leave model out"),
        ("models: [lenet5]\nmatrix: {model: lenet5}", "models must be a mapping"),
        ("models: {lenet5: 3}\nmatrix: {model: lenet5}", "must be a mapping"),
    ],
)
def test_defaults_of_models_that_cannot_be_are_errors(text, expected):
    found = problems(text)
    assert any(expected in each for each in found), found


@pytest.mark.parametrize(
    ("pattern", "left"),
    [("'> 2'", [1, 2]), ("'>= 2'", [1]), ("'<2'", [2, 3]), ("'<= 2'", [3]), ("'!= 2'", [2]), ("'> 1 and < 3'", [1, 3])],
)
def test_numbers_are_compared(pattern, left):
    text = f"matrix: {{model: lenet5, epochs: [1, 2, 3]}}\nexclude: [{{epochs: {pattern}}}]"
    assert chosen(text, "epochs") == [(each,) for each in left]


def test_a_size_that_only_the_data_know_fits_no_comparison():
    text = "matrix: {model: lenet5}\noverrides: [{when: {image_size: '>= 1'}, set: {epochs: 9}}]"
    assert problems(text) == ["3:20: this override matches no cell"]


@pytest.mark.parametrize("pattern", ["'> x'", "'>> 2'", "'> 1 or < 2'", "'<'"])
def test_a_comparison_that_is_none_is_an_error(pattern):
    (found,) = problems(f"matrix: {{model: lenet5}}\nexclude: [{{epochs: {pattern}}}]")
    assert "epochs is compared as in '>= 64'" in found
