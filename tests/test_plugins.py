"""Plug-ins: the example package, installed as a user would, and packages that are broken in every way."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import launch
from benchmark import config, plugins
from benchmark.config.data_keys import _keys
from benchmark.config.experiment import LaunchSettings
from benchmark.plugins import PluginError
from launch import ModeError, payload
from tests.docker_support import CONTAINERS
from tests.test_cli import Command
from tests.test_launch import wait_for

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "acme-vision"
YAML = """name: tiny
data: {source: idx, path: shapes}
defaults: {epochs: 2, batch_size: 32, lr: 3e-3}
matrix: {model: [lenet5, acme-mixer], seed: [0]}
launch: {workers: 1, profile: false}
report: {primary: test/brier}
"""


def package(home: Path, name: str, entry_points: str, version: str = "1.0", **modules: str) -> Path:
    """A package as pip leaves it, which is in effect where ``home`` is on the path."""
    (home / name).mkdir(parents=True, exist_ok=True)
    for module, text in {"__init__": "", **modules}.items():
        (home / name / f"{module}.py").write_text(text)
    info = home / f"{name}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)
    return home


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on the path of this process."""
    home = tmp_path / "site кот"
    home.mkdir()
    monkeypatch.syspath_prepend(str(home))
    plugins.forget()
    yield home
    monkeypatch.undo()
    plugins.forget()


def idx(folder: Path, part: str, count: int, random: np.random.Generator) -> None:
    """Squares and stripes, in MNIST's format, the labels compressed."""
    labels = (np.arange(count) % 2).astype(np.uint8)
    images = random.integers(0, 60, (count, 16, 16)).astype(np.uint8)
    images[labels == 0, 4:12, 4:12] += 150
    images[labels == 1, ::3] += 150
    header = bytes([0, 0, 8, 3]) + np.array(images.shape, ">u4").tobytes()
    (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
    header = bytes([0, 0, 8, 1]) + np.array(labels.shape, ">u4").tobytes()
    (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + labels.tobytes()))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package by pip, in a directory of its own."""
    home = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*command, str(home), str(EXAMPLE)], check=True)
    return home


@pytest.fixture
def command(tmp_path: Path, installed: Path) -> Command:
    folder = tmp_path / "shapes"
    folder.mkdir()
    for part, count in (("train", 200), ("t10k", 60)):
        idx(folder, part, count, np.random.default_rng(len(part)))
    (tmp_path / "experiments.yaml").write_text(YAML)
    found = Command(tmp_path, tmp_path / "cache")
    found.environment["PYTHONPATH"] += os.pathsep + str(installed)
    return found


def rows(command: Command) -> dict[str, dict[str, Any]]:
    return {each["model"]: each for each in command.leaderboard()["rows"]}


@pytest.mark.slow
def test_an_installed_package_brings_a_network_a_metric_and_data(command: Command) -> None:
    assert "acme-mixer" in command("models", "acme*")
    command("run")
    board = json.loads((command.home / "results" / "tiny" / "leaderboard.json").read_text())
    text = json.dumps(board)
    assert "acme-mixer of acme-vision" in text
    results = [json.loads(each.read_text()) for each in (command.home / "results").rglob("result.json")]
    assert len(results) == 2
    label = {each["environment"]["plugins"] for each in results}
    assert len(label) == 1
    assert label.pop().startswith("acme-vision 0.1.0 (")
    assert all(0 <= each["metrics"]["test/brier"] < 1 for each in results)
    markdown = (command.home / "results" / "tiny" / "leaderboard.md").read_text()
    assert "brier" in markdown.lower()
    assert "2 done" in command("plan", "--no-probe")


@pytest.mark.nightly
@pytest.mark.parametrize("words", [pytest.param(["run", "--mode", "local"], marks=CONTAINERS), ["rehearse"]], ids=str)
def test_it_works_the_same_in_containers_and_training_jobs(words: list[str], command: Command) -> None:
    command("run")
    found = [{"quality": quality(each), "plugins": each["environment"]["plugins"]} for each in results(command.home)]
    assert len(found) == 2
    (command.home / "results").rename(command.home / "here")
    command(*words)
    there = next(each for each in (command.home / "results", command.home / "rehearsal") if each.exists())
    assert found == [{"quality": quality(each), "plugins": each["environment"]["plugins"]} for each in results(there)]


def results(place: Path) -> list[dict[str, Any]]:
    return [json.loads(each.read_text()) for each in sorted(place.rglob("runs/*/result.json"))]


def quality(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result["metrics"].items() if not name.startswith("cost/")}


@pytest.mark.slow
def test_other_code_makes_results_stale_and_a_package_that_is_gone_is_named(
    command: Command, installed: Path, tmp_path: Path
) -> None:
    command("run", "--only", "model=acme-mixer")
    changed = tmp_path / "changed"
    shutil.copytree(installed, changed)
    net = changed / "acme_vision" / "nets.py"
    net.write_text(net.read_text() + "# another day\n")
    command.environment["PYTHONPATH"] = command.environment["PYTHONPATH"].replace(str(installed), str(changed))
    said = command("plan", "--only", "model=acme-mixer", "--no-probe")
    assert "stale" in said
    assert "acme-vision 0.1.0 (" in said
    assert "then, acme-vision 0.1.0 (" in said
    command.environment["PYTHONPATH"] = command.environment["PYTHONPATH"].replace(str(changed), "")
    said = command("plan", "--no-probe", code=2)
    assert "idx" in said
    assert "brier" in said


@pytest.mark.slow
def test_a_cluster_s_launcher_runs_a_sweep_and_adopts_what_it_left(command: Command) -> None:
    """submitit's executor for one machine in the place of SLURM's."""
    launch = (
        "launch: {mode: slurm, workers: 2, profile: false, options: {cluster: local, folder: jobs, timeout_min: 9}}"
    )
    path = command.home / "experiments.yaml"
    path.write_text(YAML.replace("launch: {workers: 1, profile: false}", launch).replace("epochs: 2", "epochs: 30"))
    command.environment["BENCHMARK_CHECKPOINT_SHARE"] = "0"
    process = command.start("run")
    first = command.home / "results"
    try:
        wait_for(lambda: process.poll() is not None or bool(list(first.rglob("epoch-*.pt"))), 120)
        assert process.poll() is None, "it ended before it was killed"
    finally:
        process.kill()
        process.communicate()
    assert "2 of 2 runs done" in command("run")
    results = list(first.rglob("result.json"))
    assert len(results) == 2
    attempts = [each for run in results for each in (run.parent / "attempts").iterdir()]
    assert len(attempts) == 2, "none was started twice"
    assert all((each / "submitit").exists() for each in attempts)


def test_what_a_job_elsewhere_needs_travels_with_the_code(place: Path, tmp_path: Path) -> None:
    before = payload.digest()
    package(place, "acme_nets", "[benchmark.models]\nmine = acme_nets.net:Net\n[other]\nx = y:z\n", net=NET)
    package(place, "acme_data", "[benchmark.data]\nmine = acme_data.load:load\n", load="def load(spec, cache): ...\n")
    (place / "acme_nets" / "secret.txt").write_text("not code")
    (place / "acme_nets" / "link.py").symlink_to(tmp_path / "elsewhere.py")
    plugins.forget()
    names = {name for name, _ in plugins.shipped()}
    assert names == {
        "acme_nets/__init__.py", "acme_nets/net.py",
        "acme_nets-1.0.dist-info/entry_points.txt", "acme_nets-1.0.dist-info/METADATA",
    }  # fmt: skip
    assert payload.digest() != before
    payload.write(tmp_path / "code")
    program = (
        "from benchmark.training import models; from benchmark import plugins; "
        "print(models.build('mine', {}, 8, 1, 3)); print(plugins.labels(plugins.found('models').values()))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], env={**os.environ, "PYTHONPATH": str(tmp_path / "code")}, cwd=tmp_path,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Linear" in done.stdout
    assert plugins.labels(plugins.found("models").values()) in done.stdout, "the same digest there and here"


NET = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self, image_size, channels, classes, width=1):
        super().__init__(nn.Flatten(), nn.Linear(channels * image_size ** 2, classes))
"""


@pytest.mark.parametrize(
    ("entry_points", "message"),
    [
        ("[benchmark.models]\nMine = broken:x\n", "calls one of its benchmark.models 'Mine': names are up to"),
        ("[benchmark.metrics]\naccuracy = broken.m:metric\n", "the metric accuracy .* has the name of another one"),
        ("[benchmark.metrics]\nmine = broken.m:nothing\n", "has to be callable, with better = 'higher' or 'lower'"),
        ("[benchmark.metrics]\nmine = broken.m:missing\n", "mine of the package broken 1.0 cannot be imported"),
        ("[benchmark.metrics]\nmine = broken.raises:x\n", "cannot be imported from broken.raises:x: ZeroDivisionError"),
        ("[benchmark.data]\nfolder = broken.m:metric\n", "brings 'folder' as benchmark.data, which is a name of ours"),
        ("[benchmark.launchers]\naws = broken.m:metric\n", "brings 'aws' as benchmark.launchers, which is a name"),
    ],
)
def test_a_broken_package_is_named_with_the_remedy(tmp_path: Path, entry_points: str, message: str) -> None:
    home = package(
        tmp_path / "site", "broken", entry_points, m="nothing = 3\ndef metric(a, b): return 0\n", raises="1 / 0\n"
    )
    (tmp_path / "experiments.yaml").write_text(
        "name: a\ndata: digits\nmatrix: {model: [lenet5]}\nlaunch: {workers: 1}\n"
    )
    command = Command(tmp_path, tmp_path / "cache")
    command.environment["PYTHONPATH"] += os.pathsep + str(home)
    said = command("plan", "--no-probe", code=3)
    assert "broken" in said
    assert re.search(message, said), said


def test_the_yaml_of_the_page_is_valid_where_the_packages_are_installed(place: Path, tmp_path: Path) -> None:
    package(place, "some", "[benchmark.data]\nidx = some.x:load\n[benchmark.launchers]\nslurm = some.x:Slurm\n")
    plugins.forget()
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        rest = {"name": "example", "data": "fashion-mini", "matrix": "{model: lenet5}"}
        added = [f"{key}: {value}" for key, value in rest.items() if not re.search(rf"^{key}:", block, re.MULTILINE)]
        (tmp_path / "e.yaml").write_text("\n".join([*added, block]))
        _keys.cache_clear()
        assert config.load(tmp_path / "e.yaml").cells
    _keys.cache_clear()


def test_a_package_with_two_modules_is_the_same_as_long_as_both_are(place: Path) -> None:
    package(place, "pair", "[benchmark.models]\na = pair:Net\n[benchmark.metrics]\nb = other:b\n")
    (place / "other.py").write_text("b = 1\n")
    plugins.forget()
    kinds: tuple[plugins.Kind, ...] = ("models", "metrics")
    then = plugins.labels(each for kind in kinds for each in plugins.found(kind).values())
    assert then.count("pair 1.0 (") == 2
    assert list(plugins.changes(then)) == []
    (place / "other.py").write_text("b = 2\n")
    plugins.forget()
    assert len(list(plugins.changes(then))) == 1


def test_options_belong_to_the_mode_of_a_plug_in() -> None:
    with pytest.raises(ModeError, match="options are for the mode of a plug-in; fast_local has none"):
        launch.make("fast_local", LaunchSettings(options={"partition": "gpu"}))


def test_two_packages_may_not_bring_the_same_name(place: Path) -> None:
    for name in ("one", "two"):
        package(place, name, f"[benchmark.models]\nnet = {name}:Net\n")
    plugins.forget()
    with pytest.raises(PluginError, match="the packages one and two both bring 'net'"):
        plugins.found("models")


def test_a_package_that_the_path_has_twice_counts_once(place: Path, tmp_path: Path, monkeypatch: Any) -> None:
    package(place, "one", "[benchmark.models]\nnet = one:Net\n", "2.0")
    package(tmp_path / "behind", "one", "[benchmark.models]\nnet = one:Net\n", "1.0")
    monkeypatch.syspath_prepend(str(tmp_path / "behind"))
    monkeypatch.syspath_prepend(str(place))
    plugins.forget()
    assert plugins.found("models")["net"].version == "2.0"


SEVERAL = """
class A:
    better, title = "higher", "spoils what it is given"
    def __call__(self, labels, log_probs):
        labels[:] = 0
        raise ValueError("no such thing")
class B(A):
    def __call__(self, labels, log_probs):
        return float("nan")
class C(A):
    def __call__(self, labels, log_probs):
        return float(labels.sum())
A, B, C = A(), B(), C()
"""


def test_a_metric_that_fails_is_undefined_and_changes_nothing_for_others(place: Path) -> None:
    from benchmark.training.added import added_scores

    package(place, "several", "[benchmark.metrics]\na = several.m:A\nb = several.m:B\nc = several.m:C\n", m=SEVERAL)
    plugins.forget()
    found = added_scores(np.array([1, 1]), np.log(np.full((2, 2), 0.5, np.float32)))
    assert found.values == {"a": None, "b": None, "c": 2.0}
    assert found.undefined == {"a": "no such thing", "b": "several gives nan"}
