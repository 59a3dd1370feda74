"""A benchmark run as it is often written: a fresh process that imports everything and logs value by value.

    python perf/naive.py DATA EPOCHS SEED OUTPUT MLFLOW_URI

Trains as `perf/plain.py`, writes the files that our jobs write, and logs the same things to MLflow, a call for each.
"""

# ruff: noqa: TID251

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import mlflow
import mlflow.pytorch
import numpy as np
import sklearn.metrics
import timm  # noqa: F401 - imported by every such script, for the models
import torch
import torchvision  # noqa: F401
from safetensors.torch import save_file
from sagemaker.train import ModelTrainer  # noqa: F401 - for the runs that go to AWS

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmark.training.data import load
from perf.plain import BATCH, LR, predict, train


def main() -> None:
    data, epochs, seed, output, uri = sys.argv[1:]
    run(Path(data), int(epochs), int(seed), Path(output), uri)


def run(directory: Path, epochs: int, seed: int, place: Path, uri: str) -> None:
    """Trains with one seed and keeps all of it."""
    torch.set_num_threads(1)
    place.mkdir(parents=True, exist_ok=True)
    data = load(directory)
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("naive")
    with mlflow.start_run(run_name=f"seed {seed}"):
        for name, value in {"model": "lenet5", "lr": LR, "batch_size": BATCH, "epochs": epochs, "seed": seed}.items():
            mlflow.log_param(name, value)
        model, history = train(data, epochs, seed)
        for epoch, values in enumerate(history, 1):
            for name, value in values.items():
                mlflow.log_metric(name, value, step=epoch)
        log_probs = predict(model, data, data.test).numpy()
        labels = data.test.labels.numpy()
        for name, value in measures(labels, log_probs).items():
            mlflow.log_metric(f"test_{name}", value)
        draw(labels, log_probs, place / "confusion_matrix.png")
        np.savez(place / "predictions.npz", labels=labels, log_probs=log_probs)
        save_file(model.state_dict(), place / "model.safetensors")
        (place / "result.json").write_text(json.dumps({"seed": seed, **measures(labels, log_probs)}))
        for path in sorted(place.iterdir()):
            mlflow.log_artifact(str(path))


def measures(labels: np.ndarray, log_probs: np.ndarray) -> dict[str, float]:
    predicted, probabilities = log_probs.argmax(1), np.exp(log_probs.astype(np.float64))
    probabilities /= probabilities.sum(1, keepdims=True)
    precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(
        labels, predicted, average="macro", zero_division=0
    )
    return {
        "accuracy": float(sklearn.metrics.accuracy_score(labels, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "roc_auc": float(sklearn.metrics.roc_auc_score(labels, probabilities, multi_class="ovr")),
        "log_loss": float(sklearn.metrics.log_loss(labels, probabilities)),
    }


def draw(labels: np.ndarray, log_probs: np.ndarray, path: Path) -> None:
    display = sklearn.metrics.ConfusionMatrixDisplay.from_predictions(labels, log_probs.argmax(1))
    display.figure_.savefig(path)
    plt.close(display.figure_)


if __name__ == "__main__":
    main()
