"""Every metric of 50,000 images of 1,000 classes: CPU seconds, memory, and scikit-learn's numbers.

    python perf/metrics.py                           two minutes, most of them scikit-learn's

Ours is measured in processes of their own, whose memory is what is resident beyond the probabilities, as the kernel
counts it; scikit-learn computes the same values once.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import numpy.typing as npt

from benchmark.training.metrics import scores
from perf.sides import Figure, Side, finish, parser

MOST_SECONDS, MOST_BYTES, CLOSE = 1.5, 300e6, 1e-6
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


def main() -> int:
    """Prints the figures; 1 where a limit is not kept."""
    options = parser(__doc__, guard="only values and a smaller ratio are failures")
    options.add_argument("--images", type=int, default=50_000)
    options.add_argument("--classes", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.once:
        print(json.dumps(once(arguments.images, arguments.classes)))
        return 0
    figures = measure(arguments.images, arguments.classes, arguments.rounds)
    return finish("metrics", figures, arguments.json, arguments.guard) or int(not figures[-1].kept)


def measure(images: int, classes: int, rounds: int) -> list[Figure]:
    """CPU seconds of both sides; bytes beyond the probabilities; the largest difference of a value."""
    command = [sys.executable, __file__, "--once", "--images", str(images), "--classes", str(classes)]
    found = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(rounds)]
    labels, log_probs = predictions(images, classes)
    started = time.process_time()
    theirs = reference(labels, log_probs)
    seconds = time.process_time() - started
    ours = found[0]["values"]
    if set(ours) != set(theirs):
        raise SystemExit(f"not compared: {set(ours) ^ set(theirs)}")
    what = f"{len(ours)} metrics of {images:,} × {classes:,}"
    megabytes = tuple(each["bytes"] / 1e6 for each in found)
    difference = max(abs(ours[name] - theirs[name]) for name in ours)
    return [
        Figure(what, "CPU seconds", Side("ours", tuple(each["seconds"] for each in found)),
               Side("scikit-learn", (seconds,)), most=MOST_SECONDS),
        Figure("memory beyond the probabilities", "MB", Side("ours", megabytes), most=MOST_BYTES / 1e6),
        Figure("difference from scikit-learn", "at most", Side("ours", (difference,)), most=CLOSE),
    ]  # fmt: skip


def once(images: int, classes: int) -> dict[str, Any]:
    """Seconds, bytes and values of one pass in this process."""
    labels, log_probs = predictions(images, classes)
    scores(labels[: 2 * classes], log_probs[: 2 * classes])  # imports, and plans nothing else
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again at what is resident now
    before = _status("VmRSS")
    cpu, wall = time.process_time(), time.perf_counter()
    values = scores(labels, log_probs).values
    spent = {"seconds": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    return {**spent, "bytes": _status("VmHWM") - before, "values": values}


def predictions(images: int, classes: int) -> tuple[Integers, Floats]:
    """Labels (n,) and float32 log-probabilities (n, k) of a network that has learnt something."""
    random = np.random.default_rng(0)
    labels = random.permutation(np.arange(images) % classes)
    log_probs = random.standard_normal((images, classes), dtype=np.float32)
    log_probs[np.arange(images), labels] += 3
    for start in range(0, images, 1000):
        block = log_probs[start : start + 1000]
        block -= np.log(np.exp(block.astype(np.float64)).sum(axis=1, keepdims=True)).astype(np.float32)
    return labels, log_probs


def reference(labels: Integers, log_probs: Floats) -> dict[str, float]:
    """The same values from scikit-learn, from probabilities in float64."""
    from sklearn import metrics as sk

    probabilities = np.exp(log_probs.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    chosen, everyone = probabilities.argmax(axis=1), list(range(log_probs.shape[1]))
    values = {
        "accuracy": sk.accuracy_score(labels, chosen),
        "top5_accuracy": sk.top_k_accuracy_score(labels, probabilities, k=5, labels=everyone),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, chosen),
        "roc_auc_macro": sk.roc_auc_score(labels, probabilities, multi_class="ovr"),
        "log_loss": sk.log_loss(labels, probabilities, labels=everyone),
        "mcc": sk.matthews_corrcoef(labels, chosen),
        "ece": _calibration_error(labels == chosen, probabilities.max(axis=1)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for average in ("macro", "weighted"):
            found = sk.precision_recall_fscore_support(labels, chosen, average=average, zero_division=0)
            values |= {f"{name}_{average}": found[place] for place, name in enumerate(("precision", "recall", "f1"))}
    return {name: float(value) for name, value in values.items()}


def _calibration_error(right: npt.NDArray[np.bool_], confidence: npt.NDArray[np.float64]) -> float:
    """Over scikit-learn's bins."""
    from sklearn.calibration import calibration_curve

    accuracy, mean = calibration_curve(right.astype(int), confidence, n_bins=15)
    counts = np.unique(np.ceil(confidence * 15 - 1e-12), return_counts=True)[1]
    return math.fsum(counts * np.abs(accuracy - mean)) / len(right)


def _status(name: str) -> int:
    """Bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(each.split()[1]) * 1024 for each in lines if each.startswith(name))


if __name__ == "__main__":
    sys.exit(main())
