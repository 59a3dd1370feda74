"""`tracking: {register: best}`: what MLflow's registry gives is the best run's network, in batches of any size."""

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow  # noqa: TID251
import numpy as np
import numpy.typing as npt
import pytest
from mlflow import MlflowClient  # noqa: TID251

from benchmark import config
from benchmark.config.problems import ConfigError
from benchmark.mlflow_reading import Reader
from benchmark.mlflow_store import TrackingError, sqlite_uri
from benchmark.rundir import RunDir
from tests.test_cli import Command

YAML = """
name: tiny
data: {source: synthetic, train_size: 300, test_size: 100, classes: 3}
defaults: {epochs: 2, lr: 3e-3, test_flip: true}
matrix: {model: [lenet5, resnet18], seed: [0, 1]}
launch: {profile: false, workers: 1}
tracking: {register: best}
"""
SEVERAL = """
name: tiny
defaults: {model: lenet5, epochs: 1, image_size: 28}
matrix:
  data: [{source: digits, name: "../Кот #1"}, {source: synthetic, train_size: 300, test_size: 100, classes: 3}]
launch: {profile: false, workers: 1}
tracking: {register: best}
"""
pytestmark = pytest.mark.slow


class Registered:
    """An experiment that has run with a registry."""

    def __init__(self, home: Path) -> None:
        self.home, self.uri = home, sqlite_uri(home / "mlflow.db")
        self.command = Command(home, home / "cache")
        self.client = MlflowClient(self.uri)
        self.said = self.command("run")

    @property
    def versions(self) -> list[Any]:
        return list(self.client.search_model_versions("name = 'tiny'"))

    @property
    def best(self) -> RunDir:
        """Of the run with the best validation accuracy in the leaderboard's first row."""
        document = json.loads((self.home / "results" / "tiny" / "leaderboard.json").read_text())
        runs = max(document["rows"][0]["runs"], key=lambda run: run["metrics"]["val/accuracy"])
        return RunDir(self.home / "results" / "tiny" / "runs" / runs["run_id"])

    def load(self) -> Any:
        mlflow.set_tracking_uri(self.uri)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from mlflow.pyfunc import load_model  # noqa: TID251

            return load_model("models:/tiny@best")

    def images(self, count: int) -> npt.NDArray[np.uint8]:
        """The first test images, as they were decoded."""
        (place,) = (each.parent for each in (self.home / "cache").rglob("images.npy"))
        sizes = json.loads((place / "data.json").read_text())["sizes"]
        first = sizes["train"] + sizes["val"]
        found: npt.NDArray[np.uint8] = np.load(place / "images.npy")[first : first + count]
        return found


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registered]:
    home = tmp_path_factory.mktemp("кот #1") / "a b"
    home.mkdir()
    (home / "experiments.yaml").write_text(YAML)
    before = mlflow.get_tracking_uri()
    yield Registered(home)
    mlflow.set_tracking_uri(before)


def test_the_best_runs_network_answers_as_the_run_did_in_batches_of_any_size(registered: Registered) -> None:
    recorded, model = registered.best.read_predictions("test"), registered.load()
    for count in (1, 5, 100):
        found = model.predict(registered.images(count))
        assert found.shape == (count, 3)
        np.testing.assert_allclose(found, np.exp(recorded.log_probs[:count]), atol=1e-5)


def test_the_sweep_says_what_was_registered(registered: Registered) -> None:
    run_id = registered.best.read_run().run_id
    assert f"registered: models:/tiny@best, version 1, run {run_id}" in registered.said


def test_a_version_tells_its_run_its_input_and_what_it_needs(registered: Registered) -> None:
    (version,) = registered.versions
    run = registered.best.read_run()
    assert version.tags["benchmark.run_id"] == run.run_id
    assert version.tags["benchmark.configuration_id"] == run.configuration_id
    result = registered.best.read_result()
    assert result is not None
    assert float(version.tags["benchmark.value"]) == result.metrics[version.tags["benchmark.metric"]]
    metadata = registered.load().metadata
    assert metadata.metadata["classes"] == ["class 0", "class 1", "class 2"]
    assert metadata.metadata["preprocessing"]["resize"] == run.resize
    (given,), (answered,) = metadata.get_input_schema().inputs, metadata.get_output_schema().inputs
    assert (given.type, given.shape) == (np.dtype("uint8"), (-1, 28, 28, 1))
    assert (answered.type, answered.shape) == (np.dtype("float32"), (-1, 3))
    folder = Path(registered.client.download_artifacts(version.run_id, "model", str(registered.home)))
    needed = (folder / "requirements.txt").read_text().splitlines()
    assert {each.partition("==")[0] for each in needed} >= {"torch", "numpy", "mlflow"}
    assert all("+" not in each for each in needed)
    assert not list(folder.rglob("*.pkl")), "nothing is unpickled"


def test_the_input_example_is_none_of_the_images(registered: Registered) -> None:
    """They may be confidential; and of one image alone the network would take one only."""
    example = registered.load().input_example
    assert example.shape == (2, 28, 28, 1)
    assert not any(np.array_equal(example[0], each) for each in registered.images(100))


def test_the_same_run_is_registered_once(registered: Registered) -> None:
    before = [each.version for each in registered.versions]
    said = registered.command("sync")
    assert "registered: models:/tiny@best, version 1" in said
    assert [each.version for each in registered.versions] == before


def test_a_saved_network_needs_nothing_of_ours(registered: Registered) -> None:
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); import numpy as np, mlflow.pyfunc; "
        f"mlflow.set_tracking_uri({registered.uri!r}); model = mlflow.pyfunc.load_model('models:/tiny@best'); "
        "print(model.predict(np.zeros((4, 28, 28, 1), np.uint8)).shape); "
        "print(sorted(n for n in sys.modules if n.split('.')[0] in ('benchmark', 'timm')))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-I", "-c", code], cwd=registered.home, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-2:] == ["(4, 3)", "[]"]


@pytest.mark.nightly
def test_weights_that_are_not_the_runs_are_not_registered(registered: Registered) -> None:
    best, name = registered.best, "tiny"
    weights = best.model.read_bytes()
    registered.client.delete_registered_model(name)
    try:
        best.model.write_bytes(weights[:-4] + b"\0\0\x80\x7f")  # the last weight is infinite
        said = registered.command("sync")
        assert "not registered: run" in said
        assert not registered.versions
        best.model.unlink()
        assert f"not registered: {best.model.relative_to(registered.home)} is not there" in registered.command("sync")
    finally:
        best.model.write_bytes(weights)
    assert "registered: models:/tiny@best, version 1" in registered.command("sync")


def test_a_model_of_somebody_elses_is_left_alone(registered: Registered) -> None:
    registered.client.create_registered_model("other")
    reader = Reader(registered.uri)
    with pytest.raises(TrackingError, match="has a model 'other' that is not ours"):
        reader.version("other", "benchmark.run_id", "0")
    assert reader.version("nobody", "benchmark.run_id", "0") is None


@pytest.mark.nightly
def test_each_data_set_has_a_best_and_a_name_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "experiments.yaml").write_text(SEVERAL)
    said = Command(tmp_path, tmp_path / "cache")("run")
    assert "registered: models:/tiny-1@best, version 1" in said
    assert "registered: models:/tiny-synthetic@best, version 1" in said


def test_only_none_and_best_can_be_registered(tmp_path: Path) -> None:
    (tmp_path / "experiments.yaml").write_text(YAML.replace("register: best", "register: bset"))
    with pytest.raises(ConfigError, match=r"experiments\.yaml:7:22: register cannot be 'bset'.*best"):
        config.load(tmp_path / "experiments.yaml", (), None)
