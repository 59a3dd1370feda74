"""A linear probe's features: what a frozen backbone makes of every image, computed once and kept.

A run that never changes what stands before its classifier (:attr:`benchmark.run.Run.probes`) trains the classifier on
these; the next run of the same model on the same images finds them in the cache and runs no image through the backbone.
Whoever computes them goes on with the very numbers that others will read, so that a result does not depend on it.

A file is the SHA-256 of the rest, then safetensors: ``train``, ``val`` and ``test``, float32 (n, features).  It appears
whole, under a key of all that the numbers depend on; one that is broken is made again.  Where several jobs want the
same features, one computes them and the others wait, for a while.

Limits: the classifier has to be one dense layer that reads what the backbone gives; with any other the whole network is
trained, frozen as it is.  The features are held in memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from benchmark.durable import atomic
from benchmark.run import Run, canonical_json
from benchmark.training.data import Normalize, PreparedData, Split, batches, normalisation
from benchmark.training.environment import cpu_name, versions
from benchmark.training.heads import head_modules

VARIABLE = "BENCHMARK_FEATURES"
"""In a job's environment: the directory where features are kept.  Without it they are computed in each job."""
VERSION = 1
PATIENCE = 240.0
"""Seconds for another job to compute them: less than what a job may idle before it is taken for hung."""
DIGEST = 32
PARTS = ("train", "val", "test")
LEARNING = frozenset(
    {
        *("data", "data_digest", "weights_digest", "pretrained", "normalize", "mean", "std", "seed", "epochs"),
        *("batch_size", "optimizer", "optimizer_args", "lr", "head_lr", "layer_decay", "weight_decay", "momentum"),
        *("schedule", "warmup_epochs", "min_lr", "decay_epochs", "decay_rate", "criterion", "label_smoothing"),
        *("class_weights", "focal_gamma", "clip_grad", "early_stopping", "select", "processes", "device"),
        *("instance_type", "sampling", "ema_decay", "accumulate", "on_oom", "recipe"),
    }
)
"""Keys that say how a classifier learns, or are in the name of a file of features otherwise.  Any other key, also one
that is new, keeps features apart."""


class AsIs(Normalize):
    """Features are what a classifier takes."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(self, features: Tensor) -> Tensor:
        return features.to(self.device, non_blocking=True)


@dataclass(frozen=True)
class Learning:
    """What is trained on what: the whole network on images, or a classifier on features; ``run`` says how."""

    run: Run
    data: PreparedData
    model: nn.Module
    normalize: Normalize


def probe(
    run: Run, model: nn.Module, data: PreparedData, normalize: Normalize, tell: Callable[[str], None]
) -> Learning | None:
    """What is left to train of a linear probe: the classifier of ``model``, by itself; ``None`` where ``run`` is no
    probe, or ``model`` allows none.

    Args:
        model: with its pretrained weights, on ``normalize``'s device.
        tell: takes a line for the log.
    """
    heads = head_modules(model)
    if not run.probes or len(heads) != 1 or not isinstance(heads[0], nn.Linear):
        return None
    one, _ = next(batches(data.train.part(slice(0, 1)), 1, normalize))
    if not _ends_in(heads[0], model, one):
        return None
    found = _kept(_place(run, data, normalize.device), lambda: _all(model, data, normalize, run.eval_batch_size), tell)
    splits = {name: replace(getattr(data, name), images=found[name]) for name in PARTS}
    scale = (run.head_lr or run.lr) / run.lr
    alone = replace(run, freeze="none", head_lr=None, layer_decay=None, lr=run.lr * scale, min_lr=run.min_lr * scale)
    return Learning(alone, replace(data, **splits), heads[0], AsIs(normalize.device))


def _ends_in(head: nn.Linear, model: nn.Module, images: Tensor) -> bool:
    """Whether the logits are what the classifier makes of one vector an image."""
    with _reading(head) as seen, torch.inference_mode():
        model.eval()
        logits = model(images)
        return len(seen) == 1 and seen[0].ndim == 2 and torch.equal(head(seen[0]), logits)


def _all(model: nn.Module, data: PreparedData, normalize: Normalize, batch_size: int) -> dict[str, Tensor]:
    return {name: _features(model, getattr(data, name), normalize, batch_size) for name in PARTS}


def _features(model: nn.Module, split: Split, normalize: Normalize, batch_size: int) -> Tensor:
    (head,) = head_modules(model)
    model.eval()
    with _reading(head) as seen, torch.inference_mode():
        for images, _ in batches(split, batch_size, normalize):
            model(images)
            seen[-1] = seen[-1].float().cpu()
    # A tensor of inference mode may not take part in learning.
    return torch.from_numpy(torch.cat(seen).numpy().copy())


@contextlib.contextmanager
def _reading(head: nn.Module) -> Iterator[list[Tensor]]:
    """What the classifier is given, call by call."""
    seen: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    try:
        yield seen
    finally:
        handle.remove()


def _place(run: Run, data: PreparedData, device: torch.device) -> Path | None:
    """The file of these features: all that their last bit depends on is in its name."""
    directory = os.environ.get(VARIABLE)
    if not directory:
        return None
    keys = {each.name: getattr(run, each.name) for each in dataclasses.fields(run) if each.name not in LEARNING}
    document = {
        "version": VERSION,
        "weights": run.weights_digest or ["random", run.seed],
        "data": data.digest,
        "normalize": [each.tolist() for each in normalisation(run, data)],
        "keys": {**keys, "model_args": dict(run.model_args)},
        "where": [device.type, cpu_name(), torch.backends.cpu.get_cpu_capability(), versions()],
    }
    return Path(directory) / f"{hashlib.sha256(canonical_json(document).encode()).hexdigest()[:32]}.features"


def _kept(path: Path | None, make: Callable[[], dict[str, Tensor]], tell: Callable[[str], None]) -> dict[str, Tensor]:
    """The features in ``path``; made where they are not, and kept where there is room."""
    if path is None:
        return _made(make, tell)
    if found := _read(path, tell):
        return found
    with _turn(path):
        found = _read(path, tell) or {}
        if not found:
            found = _made(make, tell)
            with contextlib.suppress(OSError):  # a full disk costs the next job its time, and this one nothing
                _write(path, found)
    return found


def _made(make: Callable[[], dict[str, Tensor]], tell: Callable[[str], None]) -> dict[str, Tensor]:
    started = time.perf_counter()
    found = make()
    images = sum(len(each) for each in found.values())
    tell(f"features of {images:,} images computed in {time.perf_counter() - started:.1f} s")
    return found


def _read(path: Path, tell: Callable[[str], None]) -> dict[str, Tensor] | None:
    try:
        content = path.read_bytes()
        if content[:DIGEST] != hashlib.sha256(content[DIGEST:]).digest():
            tell(f"{path.name}: broken, made again")
            return None
        found: dict[str, Tensor] = load(content[DIGEST:])
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        tell(f"{path.name}: {error}; made again")
        return None
    tell("features: from the cache, no image goes through the backbone")
    return found


def _write(path: Path, features: dict[str, Tensor]) -> None:
    content = save(features)
    with atomic(path) as file:
        file.write(hashlib.sha256(content).digest() + content)


@contextlib.contextmanager
def _turn(path: Path) -> Iterator[None]:
    """One job at a time; who has waited too long, or where nothing can be locked, goes on all the same."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        yield
        return
    try:
        _lock(handle, time.monotonic() + PATIENCE)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1)
    return None
