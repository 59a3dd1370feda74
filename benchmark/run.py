"""One run: a cell of the matrix with every default filled in, and its identity.

Ground floor: standard library only, because every room and every container imports it.

A run's identity is a hash of what decides its result: the training version, the digest of the data, the seed and
the resolved keys.  A key that still has the value it had when it was introduced is left out of the hash, so that a new
key leaves old results valid while a changed default gives new ones.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

TRAINING_VERSION = 1
"""Raised whenever the training program changes results; the golden numbers in the tests catch a forgotten rise."""

Value = bool | int | float | str | None
Augment = Literal["none", "crop", "flip", "erase", "crop+flip", "crop+erase", "flip+erase", "crop+flip+erase", "light"]
Resize = Literal["crop", "stretch", "pad", "auto"]


def key(default: Any, description: str, *, introduced: Any = dataclasses.MISSING, **limits: Any) -> Any:
    """A dataclass field that carries its description, its limits (``ge``, ``gt``, ``le``, ``lt``, ``min_length``)
    and its default at introduction; a mutable default is copied for each instance."""
    introduced = default if introduced is dataclasses.MISSING else introduced
    metadata = {"description": description, "introduced": introduced, "limits": limits}
    if isinstance(default, dict | list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class DataSpec:
    """Where images come from.  Its digest, not its path, is part of a run's identity."""

    source: Literal["fashion-mini", "digits", "synthetic", "folder", "csv", "npz", "hf", "s3", "torchvision"] = key(
        "fashion-mini", "fashion-mini, digits, synthetic, folder, csv, npz, hf, s3 or torchvision"
    )
    name: str = key(
        "",
        "torchvision: the data set's class, such as CIFAR10; hf: its name on the hub, where no path is given; "
        "elsewhere a label for reports",
    )
    path: str = key(
        "",
        "folder: the directory of images; csv: the table; npz: the file; hf: the folder that save_to_disk wrote; s3: "
        "its address, s3://bucket/prefix; torchvision: where its raw files lie or are downloaded to",
    )
    image_column: str = key(
        "", "csv: column of the paths, by default path, image, file or filename; hf: of the images, by default the one"
    )
    label_column: str = key(
        "", "csv: column of the classes, by default label, class or target; hf: by default the one of classes"
    )
    split_column: str = key("", "csv: column of train, val and test, by default split, where there is one")
    val_fraction: float = key(0.1, "share of the training images set aside for validation", gt=0, lt=1)
    test_fraction: float = key(0.2, "data without a test split: share of all images set aside for it", gt=0, lt=1)
    split_seed: int = key(0, "seed of the splits (never the run's seed)", ge=0)
    duplicates: Literal["refuse", "allow"] = key(
        "refuse",
        "folder, csv, npz, hf, s3: whether equal images may stand in several splits, so that what is tested was "
        "trained on",
    )
    train_size: int = key(1000, "synthetic: number of training images, validation included", ge=2)
    test_size: int = key(500, "synthetic: number of test images", ge=1)
    size: int = key(28, "synthetic: height and width in pixels", ge=1)
    planes: int = key(1, "synthetic: number of channels", ge=1)
    classes: int = key(10, "synthetic: number of classes", ge=2)
    data_seed: int = key(0, "synthetic: seed of the images", ge=0)

    @property
    def label(self) -> str:
        """What reports call this data set."""
        if self.source in ("folder", "csv", "npz", "hf", "s3"):
            return self.name or self.path.rstrip("/").rsplit("/", 1)[-1]
        return self.name or self.source


@dataclass(frozen=True)
class Run:
    """One cell of the matrix, all defaults filled in.  ``data_digest``, ``image_size`` and ``channels`` are resolved
    from the data before an identity is asked for."""

    data: DataSpec
    model: str
    data_digest: str = ""
    seed: int = key(0, "seed of weights, order and augmentation", ge=0, lt=2**32)
    model_args: Mapping[str, Any] = key({}, "further arguments of the model's constructor")
    image_size: int | None = key(None, "height and width in pixels; null: the data's own", ge=1)
    channels: Literal[1, 3] | None = key(None, "1 (grey) or 3 (RGB); null: the data's own")
    resize: Resize = key(
        "crop", "crop (shorter side, centre), stretch, pad, or auto: crop, and enlarge to the model's minimum"
    )
    epochs: int = key(5, "passes over the training images", ge=1)
    batch_size: int = key(64, "images per optimizer step", ge=1)
    eval_batch_size: int = key(256, "images per step of evaluation", ge=1)
    optimizer: str = key("adamw", "any name of timm.optim: sgd (Nesterov), momentum, adam, adamw, rmsprop, lion ...")
    optimizer_args: Mapping[str, Any] = key({}, "further arguments of the optimizer")
    lr: float = key(1e-3, "peak learning rate", gt=0)
    weight_decay: float = key(0.01, "weight decay", ge=0)
    momentum: float = key(0.9, "momentum, for optimizers that have it", ge=0, lt=1)
    schedule: Literal["constant", "step", "cosine", "onecycle"] = key(
        "cosine",
        "learning-rate schedule: constant, step, cosine, or torch's onecycle, which has its own "
        "warm-up and cycles the momentum between 0.85 and 0.95 where the optimizer has one",
    )
    warmup_epochs: float = key(0.0, "epochs of linear warm-up, fractions allowed", ge=0)
    min_lr: float = key(0.0, "learning rate at the end of a cosine", ge=0)
    decay_epochs: float = key(30.0, "step: epochs between decays", gt=0)
    decay_rate: float = key(0.1, "step: factor of each decay", gt=0, le=1)
    criterion: Literal["cross_entropy", "focal"] = key("cross_entropy", "training loss: cross_entropy or focal")
    label_smoothing: float = key(0.0, "label smoothing", ge=0, lt=1)
    class_weights: Literal["none", "balanced"] = key("none", "balanced: inverse class frequency in the loss")
    focal_gamma: float = key(2.0, "focal: exponent of (1 - p)", ge=0)
    clip_grad: float | None = key(None, "largest norm of the gradient; null: no clipping", gt=0)
    augment: Augment = key("none", "none, crop (with padding), flip, erase, joined by +; light = crop+flip")
    early_stopping: int | None = key(None, "epochs without a better validation value before stopping", ge=1)
    select: Literal["val/accuracy", "val/balanced_accuracy", "val/f1_macro", "val/log_loss"] = key(
        "val/accuracy", "validation metric that picks the best epoch"
    )
    threads: int = key(1, "CPU threads of the job, in every mode", ge=1)
    processes: int = key(
        1,
        "processes that train the run together, each on an equal share of every batch and a GPU, or `threads` "
        "cores, of its own",
        ge=1,
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = key("auto", "auto: cuda, else mps, else cpu")
    instance_type: str | None = key(
        None, "SageMaker instance such as ml.g5.xlarge (mode aws), where it is to be compared; null: aws.instance_type"
    )

    def __hash__(self) -> int:
        return hash(self.run_id)

    @cached_property
    def run_id(self) -> str:
        """First 12 hexadecimal digits of the identity's SHA-256."""
        return self._digest({"seed": self.seed})

    @cached_property
    def configuration_id(self) -> str:
        """The identity without the seed: the runs of one leaderboard row share it."""
        return self._digest({})

    def _digest(self, extra: Mapping[str, Any]) -> str:
        identity = {"training_version": TRAINING_VERSION, "data": self.data_digest, "model": self.model, **extra}
        document = canonical_json({**identity, "keys": dict(self._changed_keys())})
        return hashlib.sha256(document.encode()).hexdigest()[:12]

    def _changed_keys(self) -> Iterator[tuple[str, Any]]:
        for each in dataclasses.fields(self):
            if each.name not in {"data", "data_digest", "model", "seed"}:
                value = getattr(self, each.name)
                if value != each.metadata["introduced"]:
                    yield each.name, value

    @property
    def cores(self) -> int:
        """How many CPU cores the job keeps busy."""
        return self.threads * self.processes

    @property
    def share(self) -> int:
        """Of a full batch: the most images that one process has."""
        return -(-self.batch_size // self.processes)

    @property
    def hyperparameters(self) -> dict[str, Value]:
        """Every key but the data and the seed, flat: ``model_args.depth`` for the entries of a mapping."""
        skipped = {"data", "data_digest", "seed"}
        pairs = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self) if f.name not in skipped)
        return dict(_flatten(pairs))

    def to_json(self) -> dict[str, Any]:
        """A JSON document from which :meth:`from_json` makes an equal run."""
        document = dataclasses.asdict(self)
        return {"training_version": TRAINING_VERSION, "run_id": self.run_id, **document}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Run:
        """The run that :meth:`to_json` wrote.

        Raises:
            ValueError: the document is of another training version, has unknown keys, or its identity differs.
        """
        keys = dict(document)
        version, run_id = keys.pop("training_version", None), keys.pop("run_id", None)
        if version != TRAINING_VERSION:
            raise ValueError(f"run of training version {version}; this program is version {TRAINING_VERSION}")
        try:
            run = cls(**{**keys, "data": DataSpec(**keys["data"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a run document: {error}") from error
        if run.run_id != run_id:
            raise ValueError(f"run document says {run_id} but its keys give {run.run_id}: it was edited")
        return run


def canonical_json(document: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN, so that equal documents have equal text."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _flatten(pairs: Any, prefix: str = "") -> Iterator[tuple[str, Value]]:
    for name, value in pairs:
        if isinstance(value, Mapping):
            yield from _flatten(value.items(), f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", json.dumps(value)
        else:
            yield f"{prefix}{name}", value
