"""Run directories of invented models whose files are all there and agree with each other, and a browser."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from benchmark.records import Event, Predictions, Result
from benchmark.rundir import RunDir
from benchmark.training.evaluate import evaluation
from benchmark.training.metrics import scores
from reports.leaderboard import Entry
from tests.report_support import make_run

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1280,1000"
)
NAMES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot")


def trained(
    directory: Path,
    model: str,
    seed: int,
    skill: float,
    classes: Sequence[str] = NAMES,
    images: int = 200,
    usd: float | None = None,
    **keys: Any,
) -> Entry:
    """A run whose logits are noise plus ``skill`` on the true class; classes beside each other are confused more."""
    run = make_run(model, seed, **keys)
    predictions = _predictions(len(classes), images, skill, run.run_id)
    rundir = RunDir(directory / "runs" / run.run_id)
    rundir.write_predictions({"test": predictions}, tuple(classes))
    rundir.write_evaluation(
        {"test": evaluation(predictions.labels, predictions.log_probs, classes)}, tuple(classes)
    )  # fmt: skip
    found = scores(predictions.labels, predictions.log_probs, classes)
    metrics = {f"test/{name}": value for name, value in found.values.items()}
    metrics |= {"val/accuracy": metrics["test/accuracy"], "cost/train_seconds": 10.0 * skill + seed}
    metrics |= {"model/parameters": 1e5 * skill**3, "model/macs": 1e7 * skill**2}
    for epoch in (1, 2, 3):
        value = (metrics["test/accuracy"] or 0.0) * (1 - 0.5**epoch)
        known = {"val/accuracy": value, "train/loss": 1 / epoch, "cost/train_seconds": epoch * skill}
        rundir.append_event(Event(epoch, epoch, 100.0 + epoch, known))
    environment: dict[str, str | int | float] = {"python": "3.11.9", "device": "cpu"}
    undefined = {f"test/{name}": reason for name, reason in found.undefined.items()}
    result = Result(run.run_id, metrics, undefined, 3, 3, 100.0, 112.5, "", environment)
    profile = {"speed/latency_ms_p50": skill, "speed/batch_size": 256.0}
    profile |= {} if usd is None else {"cost/usd": usd}
    return Entry(run, "done", result, None, profile, "ab" * 16, rundir.path)


def noise(digest: str, ids: Sequence[str]) -> Mapping[str, bytes]:
    """A picture of 32 × 32 for each id, no two alike, and large for its size."""
    found = {}
    for place, each in enumerate(ids):
        pixels = np.random.default_rng([place, len(digest)]).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "PNG")
        found[each] = content.getvalue()
    return found


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """A headless browser that keeps what its console says."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in (*FLAGS.split(), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


def _predictions(k: int, n: int, skill: float, key: str) -> Predictions:
    labels = np.arange(n) % k
    random = np.random.default_rng(int(key, 16))
    logits = random.normal(size=(n, k))
    logits[np.arange(n), labels] += skill
    logits[np.arange(n), (labels + 1) % k] += skill / 2
    logits -= logits.max(axis=1, keepdims=True)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    ids = np.array([f"test/{place:05d}" for place in range(n)], dtype=np.str_)
    return Predictions(ids, labels.astype(np.int64), log_probs.astype(np.float32))
