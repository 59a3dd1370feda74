"""What an exported file says of itself: enough to use it without this program.

``preprocessing`` says how a picture becomes an input (:mod:`benchmark.data.images`; a program of thirty lines that does
it is in docs/export.md); ``normalisation`` is inside the file and is told for the curious.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmark import __version__
from benchmark.data.prepared import Header
from benchmark.records import LIBRARIES
from benchmark.run import Run
from reports.leaderboard import Entry

SCHEMA_VERSION = 1
NAMED = (*LIBRARIES, "onnx", "onnxscript", "onnxruntime")


def described(entry: Entry, label: str, experiment: str, kind: str, data: Header) -> dict[str, Any]:
    """The document of a finished run's file; ``data`` is of the images that it was trained on."""
    run, result = entry.run, entry.result
    assert result is not None
    own = run.mean is not None and run.std is not None
    mean, std = (run.mean, run.std) if own else (data.mean, data.std)
    return {
        "schema_version": SCHEMA_VERSION,
        "format": kind,
        "model": run.model,
        "architecture": result.architecture,
        "configuration": label,
        "seed": run.seed,
        "run_id": run.run_id,
        "experiment": experiment,
        "data": {"label": run.data.label, "digest": data.digest},
        "classes": list(data.classes),
        "input": _input(run),
        "outputs": _outputs(len(data.classes)),
        "preprocessing": preprocessing(run),
        "normalisation": {"inside": True, "mean": list(mean or ()), "std": list(std or ())},
        "test_flip": run.test_flip,
        "metrics": {name: value for name, value in result.metrics.items() if name.startswith(("val/", "test/"))},
        "versions": versions(),
        "trained_with": {name: result.environment[name] for name in NAMED if name in result.environment},
    }


def preprocessing(run: Run) -> dict[str, Any]:
    """How pixels become an input, with nothing left to choose: ``auto`` and ``null`` are resolved."""
    return {
        "channels": run.channels,
        "image_size": run.image_size,
        "resize": "crop" if run.resize == "auto" else run.resize,
        "interpolation": "bilinear" if run.interpolation == "auto" else run.interpolation,
        "crop_pct": run.crop_pct or 1.0,
    }


def versions() -> Mapping[str, str]:
    """This program's, and those of the libraries that are installed; nothing is imported."""
    found = {"torch-image-benchmark": __version__}
    for name in NAMED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _input(run: Run) -> dict[str, Any]:
    shape = ["batch", run.image_size, run.image_size, run.channels]
    return {"name": "images", "dtype": "uint8", "shape": shape, "layout": "NHWC", "range": [0, 255]}


def _outputs(classes: int) -> list[dict[str, Any]]:
    names = ("probabilities", "log_probabilities")
    return [{"name": name, "dtype": "float32", "shape": ["batch", classes]} for name in names]
