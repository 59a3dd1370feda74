"""Puts a run's network into MLflow's model registry: ``python -m benchmark.mlflow_model``.

A process of its own, since it imports both torch and MLflow.  Reads a JSON document from standard input: ``uri``,
``name`` and ``description`` (of the registered model), ``run`` (:meth:`benchmark.run.Run.to_json`), ``rundir``,
``data`` (the prepared images), ``mlflow_run_id``, ``tags`` (of the version), ``metadata`` (what the model says of
itself), ``device`` (where the run was predicted) and ``answer`` (the file for ``{"version"}`` or ``{"error"}``).

The network is saved as a graph (``torch.export``), which runs no code of ours when it is loaded and takes batches of
any size.  It is loaded again and tried on the run's test images before anything is registered.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from benchmark.durable import write_json
from benchmark.mlflow_store import TrackingError
from benchmark.run import Run
from benchmark.rundir import BrokenFile, RunDir
from benchmark.tracking import connect, reported
from benchmark.training import agreement
from benchmark.training.data import PreparedData, load
from benchmark.training.outset import set_up
from benchmark.training.portable import Portable, trained

FOLDER = "model"
Pixels = npt.NDArray[np.uint8]


class Probabilities(nn.Module):
    """uint8 (n, height, width, channels) -> probabilities, float32 (n, classes): MLflow takes one output only."""

    def __init__(self, network: Portable) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        probabilities: Tensor = self.network(images)[0]
        return probabilities


def main() -> None:
    """Answers the request."""
    request = json.load(sys.stdin)
    try:
        answer: dict[str, Any] = {"version": register(request)}
    except Exception as error:  # an exporter raises anything at a network that it cannot follow
        told = isinstance(error, TrackingError | BrokenFile)
        answer = {"error": str(error) if told else f"{type(error).__name__}: {error}"[:2000]}
    write_json(Path(request["answer"]), answer)


def register(request: dict[str, Any]) -> str:
    """Saves, tries, uploads and registers the network; its version.

    Raises:
        BrokenFile: the saved network's answers are not those of the run.
        TrackingError: MLflow refuses, or is too old.
    """
    run, rundir = Run.from_json(request["run"]), RunDir(Path(request["rundir"]))
    set_up(dataclasses.replace(run, device="cpu"))
    data = load(Path(request["data"]))
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / FOLDER
        save(run, rundir, data, request["metadata"], place)
        check(place, data, rundir, agreement.tolerance(request["device"]))
        with reported(request["uri"]):
            return _publish(request, place)


def save(run: Run, rundir: RunDir, data: PreparedData, metadata: dict[str, Any], place: Path) -> None:
    """Writes the model's directory, as MLflow loads it."""
    import mlflow.pytorch  # noqa: TID251
    from mlflow.models import ModelSignature  # noqa: TID251
    from mlflow.types import Schema, TensorSpec  # noqa: TID251

    if "serialization_format" not in inspect.signature(mlflow.pytorch.save_model).parameters:
        raise TrackingError(f"MLflow {mlflow.__version__} cannot keep a network as a graph: install a newer one")
    network = Probabilities(Portable.of(run, data, trained(run, data, rundir))).eval()
    shape = tuple(data.test.images.shape[1:])
    inputs = Schema([TensorSpec(np.dtype("uint8"), (-1, *shape))])
    outputs = Schema([TensorSpec(np.dtype("float32"), (-1, len(data.classes)))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pytorch.save_model(
            network,
            str(place),
            serialization_format="pt2",
            signature=ModelSignature(inputs, outputs),
            input_example=example(shape),
            pip_requirements=requirements(),
            metadata=metadata,
        )


def example(shape: tuple[int, ...]) -> Pixels:
    """Two images: of one, the graph would take one only.  They are noise, since a data set may be confidential."""
    return np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)


def requirements() -> list[str]:
    """What it takes to load the model: these versions, without the marks of a build that only its own index has."""
    names = ("mlflow", "torch", "numpy")
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in names]


def check(place: Path, data: PreparedData, rundir: RunDir, tolerance: float) -> None:
    """That the saved model answers as the run did, for one image by itself and for many.

    Raises:
        BrokenFile: it does not, or the run's predictions are of other images.
    """
    import mlflow.pyfunc  # noqa: TID251

    recorded = rundir.read_predictions("test")
    if not np.array_equal(recorded.ids, data.test.ids):
        raise BrokenFile(f"{rundir.path}: predictions.npz is of other test images than the data that are there now")
    tried = agreement.some(len(data.test))
    images: Pixels = data.test.images.index_select(0, torch.from_numpy(tried)).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = mlflow.pyfunc.load_model(str(place))
        parts = [model.predict(each) for each in (images[:1], images[1:]) if len(each)]
    found = np.concatenate(parts)
    largest = float(np.abs(found - np.exp(recorded.log_probs[tried])).max())
    if not largest <= tolerance:
        raise BrokenFile(f"the saved network's probabilities differ from the run's by up to {largest:.2g}")


def _publish(request: dict[str, Any], place: Path) -> str:
    client, name = connect(request["uri"]), request["name"]
    client.log_artifacts(request["mlflow_run_id"], str(place), FOLDER)
    source = f"{client.get_run(request['mlflow_run_id']).info.artifact_uri}/{FOLDER}"
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, {"benchmark.kind": "model"}, request["description"])
    made = client.create_model_version(
        name, source, request["mlflow_run_id"], tags=request["tags"], description=request["description"]
    )
    return str(made.version)


if __name__ == "__main__":
    main()
