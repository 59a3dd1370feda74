"""Every metric's name, the direction in which it is better, and its words in reports.

A name carries its section: ``test/accuracy``, ``cost/train_seconds``.  Ground floor: standard library only, and what
plug-ins bring.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from benchmark.plugins import PluginError, found

Direction = Literal["higher", "lower"]

MINIMUM_CLASSES: Mapping[str, int] = {"top5_accuracy": 6}
"""Where a metric of quality needs more classes than two: with five, any five include the right one."""


@dataclass(frozen=True)
class Metric:
    """``better`` is ``None`` for what describes a measurement and is no merit, such as a batch size."""

    name: str
    better: Direction | None
    title: str

    @property
    def section(self) -> str:
        return self.name.partition("/")[0]


_QUALITY: Mapping[str, tuple[Direction, str]] = {
    "accuracy": ("higher", "accuracy"),
    "top5_accuracy": ("higher", "top-5 accuracy"),
    "balanced_accuracy": ("higher", "balanced accuracy"),
    "precision_macro": ("higher", "precision (macro)"),
    "precision_weighted": ("higher", "precision (weighted)"),
    "recall_macro": ("higher", "recall (macro)"),
    "recall_weighted": ("higher", "recall (weighted)"),
    "f1_macro": ("higher", "F1 (macro)"),
    "f1_weighted": ("higher", "F1 (weighted)"),
    "roc_auc_macro": ("higher", "ROC-AUC (macro)"),
    "log_loss": ("lower", "log loss"),
    "mcc": ("higher", "Matthews correlation"),
    "ece": ("lower", "calibration error"),
}
_OTHERS: Mapping[str, tuple[Direction | None, str]] = {
    "train/loss": ("lower", "training loss"),
    "train/accuracy": ("higher", "training accuracy"),
    "train/lr": (None, "learning rate"),
    "model/parameters": ("lower", "parameters"),
    "model/macs": ("lower", "multiply-adds per image"),
    "cost/train_seconds": ("lower", "training seconds"),
    "cost/epoch_seconds": ("lower", "seconds per epoch"),
    "cost/seconds": ("lower", "seconds of the whole job"),
    "cost/train_images_per_second": ("higher", "training images per second"),
    "cost/cpu_seconds": ("lower", "CPU seconds"),
    "cost/peak_memory_bytes": ("lower", "peak memory in bytes"),
    "cost/peak_gpu_memory_bytes": ("lower", "peak GPU memory in bytes"),
    "cost/load": (None, "load of the machine"),
    "cost/kwh": ("lower", "energy in kWh"),
    "cost/usd": ("lower", "training cost"),
    "cost/billed_seconds": ("lower", "billed seconds of all instances"),
    "cost/spot_seconds": (None, "seconds of all instances on spot"),
    "cost/spot_savings": (None, "share of them that spot saved"),
    "speed/images_per_second": ("higher", "inference images per second"),
    "speed/train_images_per_second": ("higher", "training images per second, measured alone"),
    "speed/latency_ms_p50": ("lower", "median latency in ms at batch 1"),
    "speed/latency_ms_p95": ("lower", "95th percentile of latency in ms at batch 1"),
    "speed/batch_size": (None, "batch size of the throughput"),
}


def _added() -> Iterator[tuple[str, tuple[Direction, str]]]:
    """Those of plug-ins.

    Raises:
        PluginError: one of them is no metric, or has the name of another.
    """
    for plugin in found("metrics").values():
        made, place = plugin.load(), f"the metric {plugin.name} of the package {plugin.distribution}"
        if plugin.name in {*_QUALITY, "loss", "lr"}:
            raise PluginError(f"{place} has the name of another one: call it differently there")
        better, title = getattr(made, "better", None), getattr(made, "title", None)
        if better not in ("higher", "lower") or not isinstance(title, str) or not callable(made):
            raise PluginError(f"{place} has to be callable, with better = 'higher' or 'lower' and a title")
        yield plugin.name, (better, title)


def _metrics() -> Iterator[Metric]:
    quality = {**_QUALITY, **dict(_added())}
    for section, words in (("test", "test"), ("val", "validation")):
        for name, (better, title) in quality.items():
            yield Metric(f"{section}/{name}", better, f"{words} {title}")
    for name, (direction, title) in _OTHERS.items():
        yield Metric(name, direction, title)


METRICS: Mapping[str, Metric] = {each.name: each for each in _metrics()}
"""Name -> metric, in the order in which reports list them."""

RANKABLE: tuple[str, ...] = tuple(each.name for each in METRICS.values() if each.better)
"""The names that ``report: {primary: ...}`` may take."""


def sign_of(metric: str) -> int:
    """By which a metric's values are multiplied so that the larger is the better."""
    return -1 if METRICS[metric].better == "lower" else 1
