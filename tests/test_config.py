import dataclasses
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import pytest

from benchmark.catalogue import ModelFacts, ModelSpec, Names
from benchmark.config import ConfigError, LaunchSettings, data_keys, load, matrix, parse, resolved_yaml
from benchmark.config.keys import fields_of
from benchmark.data.datasets import DataFacts
from benchmark.metric_names import METRICS, RANKABLE
from benchmark.run import DataSpec, Run

MODELS = ["lenet5", "resnet18", "resnet50", "vgg11_bn"]
KNOWN = Names(frozenset(MODELS), frozenset({"adamw", "adam", "sgd", "momentum", "rmsprop", "lion"}))
WHOLE = """\
name: fashion-tour
description: "three models: small and large"
data: {source: folder, path: './кот #1', image_size: 64}
defaults: {epochs: 3, batch_size: 64, optimizer: adamw, lr: 1e-3, schedule: cosine}
matrix:
  model: [lenet5, resnet18]
  lr: [1e-3, 3e-4]
  seed: [0, 1, 2]
include: [{model: resnet50, optimizer: sgd, lr: 0.1, model_args: {text: "1e-3", "no": [1, null, 2.5]}}]
launch: {mode: fast_local, workers: {count: 2, start: spawn}, timeout: 60, retries: 0}
tracking: {uri: "http://localhost:5000"}
report: {primary: test/f1_macro}
"""
MINIMAL = "name: a\nmatrix: {model: [lenet5, resnet18]}\n"


def problems(text, *settings, models=KNOWN):
    with pytest.raises(ConfigError) as caught:
        parse(text, Path("experiments.yaml"), settings, models)
    return str(caught.value).splitlines()


def facts(**changes):
    sizes = {"train": 900, "val": 100, "test": 200}
    given = {"digest": "ab" * 32, "classes": ("cat", "dog"), "image_size": 28, "channels": 1, "sizes": sizes}
    return DataFacts(**{**given, **changes})


class Describe:
    """A catalogue of made-up models: ``errors`` and ``minimum`` by name; remembers what it was asked."""

    def __init__(self, minimum=(), errors=(), batches=()):
        self.minimum, self.errors, self.batches, self.asked = dict(minimum), dict(errors), dict(batches), []

    def __call__(self, specs):
        self.asked.append(list(specs))
        return {spec: self.one(spec) for spec in specs}

    def one(self, spec):
        minimum, error = self.minimum.get(spec.model, 1), self.errors.get(spec.model)
        batch = self.batches.get(spec.model, 1)
        return ModelFacts(1, 1, "", minimum_size=minimum, error=error, minimum_batch=batch)


def accept(specs):
    """Every optimizer."""
    return dict.fromkeys(specs)


def resolve(text, data=None, describe=None, **changes):
    experiment = parse(text, Path("experiments.yaml"), (), KNOWN)
    known = {spec: data[spec.source] if data else facts(**changes) for spec in experiment.data}
    return matrix.resolve(experiment, known, describe or Describe(), accept)


def unresolved(text, data=None, describe=None, **changes):
    with pytest.raises(ConfigError) as caught:
        resolve(text, data, describe, **changes)
    return str(caught.value).splitlines()


def test_a_file_gives_typed_values(tmp_path):
    directory = tmp_path / "кот #1"
    directory.mkdir()
    path = directory / "experiments.yaml"
    path.write_text(WHOLE, encoding="utf-8")
    experiment = load(path, ["momentum=0.5"], KNOWN)
    assert experiment.launch == LaunchSettings("fast_local", 2, "auto", "spawn", timeout=60.0, retries=0)
    assert (experiment.tracking.uri, experiment.report.primary) == ("http://localhost:5000", "test/f1_macro")
    assert (experiment.name, experiment.path) == ("fashion-tour", path)
    assert len(experiment.cells) == 15
    first = experiment.cells[0].run
    assert first.data.path == str(directory / "кот #1")
    assert (first.lr, first.image_size, first.momentum, first.data_digest) == (0.001, 64, 0.5, "")


def test_every_error_is_told_at_once_with_its_place():
    text = """\
name: Fashion Tour
datta: x
defaults: {epochs: 3.0, lr: "1e-3", schedule: cosin, channels: 2}
matrix:
  model: [lenet5, resnt50]
data: {source: folder, planes: 3}
exclude: [{modle: x}]
launch: {mode: aws_mode, workers: {cnt: 3}, timeout: 0}
tracking: {uri: "http://user:hidden@host"}
report: {primary: test/f1}
"""
    lines = problems(text, "lr=x", "nope")
    expected = [
        "--set lr=x: lr must be a number greater than 0, not 'x'",
        "--set nope: write key=value, or model_args.entry=value",
        "experiments.yaml:1:7: name 'Fashion Tour' cannot be a directory's name everywhere",
        "experiments.yaml:2:1: unknown key 'datta'; did you mean 'data'?",
        "experiments.yaml:3:20: epochs must be a whole number at least 1, not 3.0",
        "experiments.yaml:3:29: lr must be a number greater than 0, not '1e-3'; leave out the quotes",
        "experiments.yaml:3:47: schedule cannot be 'cosin'; allowed: constant, step, cosine, onecycle; did you mean",
        "experiments.yaml:3:64: channels cannot be 2; allowed: 1, 3, null",
        "experiments.yaml:5:19: unknown model 'resnt50'; did you mean 'resnet50'?",
        "experiments.yaml:6:7: folder data need a path, for example {source: folder, path: ./photos}",
        "experiments.yaml:6:32: planes does nothing for folder data, it belongs to synthetic; leave it out",
        "experiments.yaml:7:12: unknown key 'modle'; did you mean 'model'?",
        "experiments.yaml:8:16: mode cannot be 'aws_mode'; allowed: fast_local, local, aws",
        "experiments.yaml:8:36: unknown key 'cnt'; allowed: count, start",
        "experiments.yaml:8:54: timeout must be a number greater than 0 or null, not 0",
        "experiments.yaml:9:17: uri has a password or token in it; leave it out of the file",
        "experiments.yaml:10:19: primary: unknown metric 'test/f1'; did you mean",
    ]
    assert [line[: len(start)] for line, start in zip(lines, expected, strict=True)] == expected
    assert "hidden" not in "".join(lines)


def test_a_missing_file_and_a_directory_are_problems(tmp_path):
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load(path)


@pytest.mark.parametrize("text", ["", "a", "- 1", "[]"])
def test_a_file_that_is_no_mapping_says_how_to_begin(text):
    assert "an experiment is a mapping; begin with name, data and matrix" in problems(text)[0]


def test_a_file_without_a_name_is_offered_one():
    assert problems("matrix: {model: lenet5}") == [
        "experiments.yaml:1:1: the experiment has no name; write name: experiments"
    ]


@pytest.mark.parametrize("name", ["..", ".", "../x", "a/b", "", "a" * 64, "Кот", "<script>", "-rf", '"a\\n"'])
def test_a_name_that_is_no_safe_directory_is_refused(name):
    assert "name" in problems(f"name: {name or chr(34) * 2}\nmatrix: {{model: lenet5}}")[0]


@pytest.mark.parametrize("name", ["a", "fashion-tour", "2024.01_x", "a" * 63])
def test_a_slug_is_a_name(name):
    assert parse(f"name: '{name}'\nmatrix: {{model: lenet5}}", Path("e.yaml")).name == name


@pytest.mark.parametrize(
    "uri",
    [
        "https://user:secret1@host/x",
        "https://secret1@host",
        "postgresql://user:secret1@host/db",
        "http://host/?token=secret1",
        "mysql://host/db?user=a&PASSWORD=secret1",
    ],
)
def test_an_address_with_a_secret_is_refused_without_repeating_it(uri):
    (line,) = problems(f"{MINIMAL}tracking: {{uri: '{uri}'}}")
    assert "MLFLOW_TRACKING_PASSWORD" in line
    assert "secret1" not in line


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "http://host:5000", "postgresql://user@host/db", "./mlruns"])
def test_an_address_without_a_secret_is_accepted(uri):
    assert parse(f"{MINIMAL}tracking: {{uri: '{uri}'}}", Path("e.yaml")).tracking.uri == uri


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            "CIFAR10",
            "7: unknown data 'CIFAR10'; allowed: fashion-mini, digits, synthetic, folder, csv, npz, hf, s3, torch",
        ),
        ("folder", "7: folder data need a path"),
        ("csv", "7: csv data need a path, for example {source: csv, path: ./images.csv}"),
        ("{source: npz}", "7: npz data need a path"),
        ("hf", "7: hf data need a path or a name, for example {source: hf, path: ./saved}"),
        (
            "{source: npz, path: x, label_column: y}",
            "44: label_column does nothing for npz data, it belongs to csv, hf",
        ),
        ("{source: csv, path: s3://b-b/c}", "27: path of csv data is a place on this machine; for S3 write source: s3"),
        ("{source: torchvision}", "7: torchvision data need a name"),
        ("{source: sythetic}", "16: source cannot be 'sythetic'; allowed: fashion-mini"),
        (
            "{source: digits, path: x}",
            "30: path does nothing for digits data, it belongs to folder, csv, npz, hf, s3, torch",
        ),
        (
            "{source: synthetic, train_size: 9000000, size: 224}",
            "7: these synthetic images take 421 GiB, at most 64",
        ),
        ("{source: synthetic, size: 9000000}", "7: these synthetic images take"),
        ("{source: synthetic, classes: 1}", "36: classes must be a whole number at least 2, not 1"),
        ("{source: digits, seed: 3}", "24: unknown key 'seed'"),
        ("{path: ./photos}", "14: path belongs to a source: for a directory of images write source: folder"),
        ("[digits]", "7: one data set stands here; several are an axis of the matrix: matrix: {data: [...]}"),
    ],
)
def test_data_that_cannot_be_meant_are_an_error(data, expected):
    (line,) = problems(f"{MINIMAL}data: {data}")
    assert line.startswith(f"experiments.yaml:3:{expected}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("model: lenet5", "1: model is a key of a run: write it under defaults, or under matrix where it varies"),
        ("seed: 3", "1: seed is a key of a run"),
        ("report: {primary: accuracy}", "19: primary: unknown metric 'accuracy'; did you mean 'test/accuracy'?"),
        (
            "launch: {timeout: 10m}",
            "19: timeout must be a number greater than 0 or null, not '10m'; in seconds that is 600",
        ),
        ("launch: {time_limit: 1h30m}", "22: time_limit must be"),
        ("defaults: {lr: '0.1'}", "16: lr must be a number greater than 0, not '0.1'; leave out the quotes"),
        ("data: {source: folder, path: ., test_fraction: 20%}", "48: test_fraction must be a number"),
        ("data: {source: folder, path: ., test_fraction: 1.2.3%}", "48: test_fraction must be a number"),
    ],
)
def test_what_a_newcomer_would_write_is_told_with_what_to_write_instead(line, expected):
    (found,) = problems(f"{MINIMAL}{line}")
    assert found.startswith(f"experiments.yaml:3:{expected}")
    for written, meant in (("1h30m", "in seconds that is 5400"), ("20%", "as a fraction that is 0.2")):
        assert (written in line) == found.endswith(meant)


def test_every_source_has_its_options():
    assert set(data_keys.OPTIONS) == set(get_args(fields_of(DataSpec)["source"].type))
    assert {key for options in data_keys.OPTIONS.values() for key in options} == set(fields_of(DataSpec))


def test_data_given_twice_are_an_error():
    assert "give them once" in problems(f"{MINIMAL}data: digits\ndefaults: {{data: digits}}")[0]


def test_settings_are_yaml_and_paths_in_them_are_relative_to_the_working_directory():
    settings = ["data={source: folder, path: cats}", "model_args.a=[1, x]", "clip_grad=null", "model_args.b=2"]
    run = parse(MINIMAL, Path("/elsewhere/e.yaml"), settings).cells[0].run
    assert run.data.path == str(Path.cwd() / "cats")
    assert (run.model_args, run.clip_grad) == ({"a": [1, "x"], "b": 2}, None)


@pytest.mark.parametrize("setting", ["lr", "lr.x=1", "=1", "lr=[", "data.path=x", "launch.workers=1", "lr=.nan"])
def test_a_setting_that_is_none_is_an_error_naming_it(setting):
    (line,) = problems(MINIMAL, setting)
    assert line.startswith(f"--set {setting}: ")


def test_numbers_without_an_end_are_refused_everywhere():
    assert "lr must be a number" in problems(f"{MINIMAL}defaults: {{lr: .inf}}")[0]
    assert "model_args must have finite numbers" in problems(f"{MINIMAL}defaults: {{model_args: {{a: [.nan]}}}}")[0]


def test_model_names_are_left_to_resolve_where_none_are_known():
    assert parse("name: a\nmatrix: {model: anything}", Path("e.yaml")).cells[0].run.model == "anything"
    assert parse("name: a\nmatrix: {model: timm/resnet18}", Path("e.yaml"), (), KNOWN).cells


def test_defaults_and_limits_of_a_run_live_in_run_only():
    experiment = parse("name: a\nmatrix: {model: lenet5}", Path("e.yaml"))
    assert experiment.cells[0].run == Run(data=DataSpec(), model="lenet5")
    given = {f.name: f.metadata["limits"] for f in dataclasses.fields(Run) if f.metadata.get("limits")}
    for key, limits in given.items():
        for limit in ("gt", "lt"):
            if limit in limits:
                assert f"{key} must be" in problems(f"{MINIMAL}defaults: {{{key}: {limits[limit]}}}")[0]


def test_every_metric_that_ranks_has_a_direction():
    assert {"test/accuracy", "val/log_loss", "speed/latency_ms_p50", "model/macs", "cost/train_seconds"} <= set(
        RANKABLE
    )
    assert METRICS["test/log_loss"].better == "lower"
    assert METRICS["speed/batch_size"].better is None
    assert "speed/batch_size" not in RANKABLE


def test_reading_a_file_imports_no_heavy_library():
    code = "import sys, benchmark.config, benchmark.config.matrix; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "mlflow", "numpy", "sagemaker", "click", "matplotlib"} & set(done.stdout.split())


def test_data_give_digest_size_and_channels():
    runs = resolve(MINIMAL, channels=3, image_size=32)
    assert {(run.data_digest, run.image_size, run.channels) for run in runs} == {("ab" * 32, 32, 3)}


def test_given_size_and_channels_stay():
    (run, _) = resolve(f"{MINIMAL}defaults: {{image_size: 64, channels: 3}}", image_size=None)
    assert (run.image_size, run.channels) == (64, 3)


def test_images_of_many_sizes_need_an_image_size():
    assert unresolved(f"{MINIMAL}data: digits", image_size=None) == [
        "experiments.yaml:3:7: the images of digits have different sizes; give image_size, for example image_size: 64"
    ]
    assert unresolved(MINIMAL, image_size=None)[0].startswith("experiments.yaml: the images of fashion-mini")


def test_models_are_described_once_each_in_one_call():
    describe = Describe()
    resolve("name: a\nmatrix: {model: [lenet5, resnet18], seed: [0, 1, 2], lr: [1, 2]}", describe=describe)
    spec = ModelSpec(model="lenet5", model_args="{}", image_size=28, channels=1, classes=2)
    assert describe.asked == [[spec, dataclasses.replace(spec, model="resnet18")]]


def test_what_a_model_refuses_is_an_error_at_its_name():
    text = "name: a\nmatrix: {model: [lenet5, resnet18], seed: [0, 1]}"
    assert unresolved(text, describe=Describe(errors={"resnet18": "has no argument 'depht'"})) == [
        "experiments.yaml:2:26: resnet18: has no argument 'depht'"
    ]


def test_images_below_a_models_minimum_are_an_error_with_its_remedy():
    describe = Describe(minimum={"resnet18": 32})
    assert unresolved(MINIMAL, describe=describe) == [
        "experiments.yaml:2:26: resnet18 needs images of at least 32 pixels, not 28; "
        "write resize: auto to enlarge them for it"
    ]


def test_resize_auto_enlarges_images_to_the_models_minimum():
    describe = Describe(minimum={"resnet18": 32})
    runs = resolve(f"{MINIMAL}defaults: {{resize: auto}}", describe=describe)
    assert [run.image_size for run in runs] == [28, 32]
    assert [spec.image_size for spec in describe.asked[1]] == [32], "the enlarged model is described too"


def test_a_batch_larger_than_the_training_set_is_an_error():
    text = f"{MINIMAL}defaults: {{batch_size: 1000}}"
    assert unresolved(text) == [
        "experiments.yaml:3:24: batch_size 1000 is more than the 900 training images of fashion-mini; "
        "set a smaller batch_size"
    ]


def test_more_processes_than_images_in_a_batch_are_an_error():
    assert unresolved(f"{MINIMAL}defaults: {{batch_size: 4, processes: 5}}") == [
        "experiments.yaml:3:38: 5 processes cannot share a batch of 4; set fewer processes or a larger batch_size"
    ]


def test_processes_that_cannot_be_divided_among_the_hosts_are_an_error():
    assert unresolved(f"{MINIMAL}defaults: {{processes: 3}}\nlaunch: {{hosts: 2}}") == [
        "experiments.yaml:3:23: 3 processes cannot be divided among 2 hosts (launch: hosts); set processes: 2, or "
        "fewer hosts"
    ]


def test_a_batch_of_one_is_refused_where_the_model_cannot_be_trained_on_it():
    describe = Describe(batches={"resnet18": 2})
    assert unresolved(f"{MINIMAL}defaults: {{batch_size: 1}}", describe=describe) == [
        "experiments.yaml:3:24: resnet18 has batch normalisation, which cannot be trained with a batch_size of 1; "
        "set batch_size: 2 or more"
    ]


def test_an_argument_that_is_refused_is_told_at_its_own_place():
    text = "name: a\nmatrix: {model: [lenet5, resnet18], optimizer_args: [{eps: 1}, {beta: 2, eps: 1}]}"
    message = "optimizer_args: adamw has no argument 'beta'; did you mean 'betas'?"
    experiment = parse(text, Path("experiments.yaml"), (), KNOWN)
    with pytest.raises(ConfigError) as caught:
        matrix.resolve(
            experiment,
            {spec: facts() for spec in experiment.data},
            Describe(),
            lambda specs: {spec: message if "beta" in spec.optimizer_args else None for spec in specs},
        )
    assert str(caught.value) == f"experiments.yaml:2:65: {message}"
    describe = Describe(errors={"resnet18": "unknown entry 'depht' in model_args"})
    text = "name: a\nmatrix: {model: [lenet5, resnet18]}\nmodels: {resnet18: {model_args: {a: 1, depht: 3}}}"
    assert unresolved(text, describe=describe) == [
        "experiments.yaml:3:40: resnet18: unknown entry 'depht' in model_args"
    ]


def test_a_primary_metric_that_few_classes_leave_undefined_is_refused():
    text = f"{MINIMAL}report: {{primary: test/top5_accuracy}}"
    assert unresolved(text, classes=tuple("abcde")) == [
        "experiments.yaml:3:19: primary: test/top5_accuracy says nothing of the 5 classes of fashion-mini, "
        "it needs 6; choose another, such as test/accuracy"
    ]
    resolve(text, classes=tuple("abcdef"))


def test_cells_that_turn_out_equal_are_an_error_naming_both():
    text = "name: a\nmatrix: {model: lenet5, image_size: [28, null]}"
    (line,) = unresolved(text)
    assert "the same run: (model lenet5, image_size 28) and (model lenet5, image_size None)" in line
    assert line.startswith("experiments.yaml:2:42: ")


def test_problems_of_several_cells_are_told_at_once():
    text = "name: a\nmatrix: {model: [lenet5, resnet18, resnet50], batch_size: [8, 1000]}"
    describe = Describe(minimum={"resnet18": 32}, errors={"resnet50": "broken"})
    lines = unresolved(text, describe=describe)
    assert [line.split(": ")[1].split(" ")[0] for line in lines] == ["resnet18", "resnet50", "batch_size"]


def test_the_resolved_file_reads_back_as_the_same_runs(tmp_path):
    path = tmp_path / "кот #1" / "experiments.yaml"
    path.parent.mkdir()
    path.write_text(WHOLE, encoding="utf-8")
    experiment = load(path)
    data = {spec: facts() for spec in experiment.data}
    runs = matrix.resolve(experiment, data, Describe(), accept)
    text = resolved_yaml(experiment, runs)
    copy = tmp_path / "copy.yaml"
    copy.write_text(text, encoding="utf-8")
    again = load(copy)
    assert matrix.resolve(again, data, Describe(), accept) == runs
    for name in ("name", "description", "launch", "tracking", "report"):
        assert getattr(again, name) == getattr(experiment, name)
    assert all(run.run_id in text for run in runs)


def test_odd_characters_survive_the_resolved_file():
    odd = "a\u2028\ufeff \x85 😀 '\" \\ # : \t\n"
    experiment = dataclasses.replace(parse(MINIMAL, Path("e.yaml")), description=odd)
    text = resolved_yaml(experiment, [cell.run for cell in experiment.cells])
    assert parse(text, Path("e.yaml")).description == odd


def test_four_times_the_cells_resolve_in_about_four_times_as_long():
    """Ten thousand, once; `perf/startup.py` says how many seconds that is."""

    def seconds(count: int) -> float:
        axis = list(range(1, count + 1))
        experiment = parse(f"name: a\nmatrix: {{model: {MODELS}, lr: {axis}, seed: {axis}}}", Path("e"), (), KNOWN)
        started = time.process_time()
        runs = matrix.resolve(experiment, {spec: facts() for spec in experiment.data}, Describe(), accept)
        assert len(runs) == len(MODELS) * count**2
        return time.process_time() - started

    assert seconds(50) < 10 * min(seconds(25), seconds(25))
