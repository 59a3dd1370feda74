"""Run directories to publish, and a real MLflow server, for the tests of tracking."""

import io
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmark.data.datasets import DataFacts
from benchmark.records import ClassMetrics, Evaluation, Event, Failure, Result
from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir

DATA = DataSpec()
CLASSES = ("T-shirt", "Кот #1", "50%")
DIGEST = "5f" * 32
FACTS = {DATA: DataFacts(DIGEST, CLASSES, 28, 1, {"train": 54, "val": 6, "test": 20})}
START = 1_700_000_000.0


def a_run(**keys: Any) -> Run:
    return Run(**{"data": DATA, "data_digest": DIGEST, "model": "resnet18", "image_size": 28, "channels": 1, **keys})


def epoch(number: int, accuracy: float = 0.5) -> Event:
    metrics = {"train/loss": 2.0 * math.exp(-number), "val/accuracy": accuracy, "val/log_loss": 1.0 / number}
    return Event(number, 10 * number, START + 10 * number, {**metrics, "cost/train_seconds": 3.0})


def new_rundir(root: Path, run: Run) -> RunDir:
    rundir = RunDir(root / "results" / run.run_id)
    rundir.write_run(run)
    rundir.attempt(1)
    rundir.log_path(1).write_text("epoch 1\nepoch 2\n", encoding="utf-8")
    return rundir


def finish(rundir: RunDir, accuracy: float = 0.875, seconds: float = 12.5, **metrics: float | None) -> None:
    """Writes an evaluation and a result; ``metrics`` has ``__`` for ``/``."""
    confusion = ((7, 1, 0), (2, 5, 0), (0, 0, 5))
    rows = tuple(ClassMetrics(name, 7, accuracy, accuracy, accuracy, None, {"roc_auc": "?"}) for name in CLASSES)
    rundir.write_evaluation({"test": Evaluation(confusion, rows, (), ())}, CLASSES)
    values = {"test/accuracy": accuracy, "test/f1_macro": accuracy - 0.01, "test/log_loss": 1 - accuracy}
    values |= {"val/accuracy": 0.75, "train/loss": 0.1, "cost/train_seconds": seconds, "model/parameters": 11_181_642.0}
    values |= {name.replace("__", "/"): value for name, value in metrics.items()}
    reasons = {name: "one class is absent" for name, value in values.items() if value is None}
    run_id = rundir.read_run().run_id
    rundir.write_result(
        Result(
            run_id, values, reasons, 2, 3, START, START + 60, "ResNet-18, 3×3 stem", {"torch": "2.14.1"}, ("a note",)
        )
    )


def fail(rundir: RunDir) -> None:
    rundir.write_failure(Failure("diverged", "NaN at http://me:secret@host/x", "Traceback …", 112, START + 20))


def confusion_png(rundir: RunDir, run: Run) -> Mapping[str, bytes]:
    """A picture of the confusion matrix, as the caller of the publisher draws one."""
    matrix = np.array(rundir.read_evaluation()["test"].confusion)
    image = Image.fromarray((255 - 255 * matrix / matrix.max()).astype(np.uint8)).resize(
        (300, 300), Image.Resampling.BOX
    )
    content = io.BytesIO()
    image.save(content, "PNG")
    return {"confusion_matrix.png": content.getvalue()}


@contextmanager
def mlflow_server(directory: Path, log: Path, *options: str) -> Iterator[str]:
    """``mlflow ui`` as a user starts it in ``directory``; yields its address once it answers."""
    with mlflow_process(directory, log, *options) as (_, address):
        yield address


@contextmanager
def mlflow_process(directory: Path, log: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The same with its process, which leads a process group."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--port", str(port), "--workers", "1", *options]
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | settings
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield server, _when_up(server, f"http://127.0.0.1:{port}", log)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _when_up(server: subprocess.Popen[bytes], address: str, log: Path) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return address
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")


def fetch(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as reply:
        return reply.read()


def fetch_json(address: str) -> Any:
    return json.loads(fetch(address))
