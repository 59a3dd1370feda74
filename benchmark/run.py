"""One run: a cell of the matrix with every default filled in, and its identity.

Ground floor: standard library only, because every room and every container imports it.

A run's identity is a hash of what decides its result: the training version, the digest of the data, the seed and
the resolved keys.  A key that still has the value it had when it was introduced is left out of the hash, so that a new
key leaves old results valid while a changed default gives new ones.  Of pretrained weights the digest counts, not where
they came from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Literal, cast

TRAINING_VERSION = 1
"""Raised whenever the training program changes results; the golden numbers in the tests catch a forgotten rise."""

Value = bool | int | float | str | None
Augment = Literal["none", "crop", "flip", "erase", "crop+flip", "crop+erase", "flip+erase", "crop+flip+erase", "light"]
Policy = Literal["none", "trivial", "rand"]
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
Resize = Literal["crop", "stretch", "pad", "auto"]
Interpolation = Literal["auto", "nearest", "bilinear", "bicubic", "lanczos"]
RESOLVED = frozenset({"data_digest", "weights_digest"})
"""Fields of a run that are no keys of a YAML: the data and the weights decide them."""

CHANGING_IMAGES = frozenset({"augment", "policy", "mixup", "cutmix", "test_flip"})
"""Keys by which an image is not always the same to the network."""


def key(
    default: Any, description: str, *, introduced: Any = dataclasses.MISSING, plugins: str = "", **limits: Any
) -> Any:
    """A dataclass field that carries its description, its limits (``ge``, ``gt``, ``le``, ``lt``, ``min_length``)
    and its default at introduction; a mutable default is copied for each instance.  A choice among words that
    ``plugins`` of a kind add to says which."""
    introduced = default if introduced is dataclasses.MISSING else introduced
    metadata = {"description": description, "introduced": introduced, "limits": limits, "plugins": plugins}
    if isinstance(default, dict | list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class DataSpec:
    """Where images come from.  Its digest, not its path, is part of a run's identity."""

    source: Literal["fashion-mini", "digits", "synthetic", "folder", "csv", "npz", "hf", "s3", "torchvision"] = key(
        "fashion-mini",
        "fashion-mini, digits, synthetic, folder, csv, npz, hf, s3, torchvision, or what a plug-in brings",
        plugins="data",
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
    from the data before an identity is asked for, and of a pretrained model ``weights_digest`` (SHA-256, hexadecimal),
    ``interpolation``, ``crop_pct``, ``mean`` and ``std`` from its weights."""

    data: DataSpec
    model: str
    data_digest: str = ""
    weights_digest: str = ""
    recipe: str = key(
        "",
        "a recipe's name, or the path of its YAML file: it sets keys that nothing else sets (no part of the identity)",
    )
    seed: int = key(0, "seed of weights, order and augmentation", ge=0, lt=2**32)
    model_args: Mapping[str, Any] = key({}, "further arguments of the model's constructor")
    image_size: int | None = key(None, "height and width in pixels; null: the data's own", ge=1)
    channels: Literal[1, 3] | None = key(None, "1 (grey) or 3 (RGB); null: the data's own")
    resize: Resize = key(
        "crop", "crop (shorter side, centre), stretch, pad, or auto: crop, and enlarge to the model's minimum"
    )
    interpolation: Interpolation = key(
        "auto",
        "filter that resizes images: nearest, bilinear, bicubic, lanczos, or auto: the pretrained model's own, else "
        "bilinear",
    )
    crop_pct: float | None = key(
        None,
        "crop, stretch: the share of the resized image's side that is kept, from its centre; null: the pretrained "
        "model's own where images are resized, else all",
        gt=0,
        le=1,
    )
    normalize: Literal["auto", "data", "model"] = key(
        "auto",
        "mean and deviation that become 0 and 1: of the training images (data), or those that the pretrained model was "
        "trained with (model); auto: model if pretrained, else data",
    )
    mean: list[float] | None = key(
        None, "with std, in place of normalize: for each channel, in units where white is 1; null: by normalize"
    )
    std: list[float] | None = key(None, "see mean")
    pretrained: bool | str = key(
        False,
        "true: the library's own weights of the model; or a file (.safetensors, .pth, .pt, .bin), or a tag of timm's "
        "such as a1_in1k; the classifier is fresh where it has another number of classes",
    )
    freeze: Literal["none", "backbone"] = key(
        "none", "backbone: only the classifier learns (a linear probe); all else stays in evaluation mode"
    )
    unfreeze_epoch: int | None = key(None, "freeze: epochs after which the backbone learns, too; null: never", ge=1)
    head_lr: float | None = key(None, "peak learning rate of the classifier; null: lr", gt=0)
    layer_decay: float | None = key(
        None, "learning rate of each layer as a share of that of the layer above it; null: the same for all", gt=0, le=1
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
    policy: Policy = key(
        "none", "trivial (TrivialAugment wide) or rand (RandAugment, 2 operations of strength 9), before augment"
    )
    mixup: float = key(0.0, "mixup: α of Beta(α, α), from which each batch's proportion is drawn; 0: none", ge=0)
    cutmix: float = key(0.0, "CutMix: its α; with mixup too, each batch gets one of them; 0: none", ge=0)
    sampling: Literal["shuffle", "balanced"] = key(
        "shuffle", "an epoch shows each training image once, or draws as many with every class equally likely"
    )
    dropout: float | None = key(None, "dropout of the model's head; null: the model's own", ge=0, lt=1)
    drop_path: float | None = key(None, "stochastic depth of the model; null: the model's own", ge=0, lt=1)
    ema_decay: float = key(
        0.0,
        "evaluate and keep the moving average of the weights with this decay, reached by a warm-up; 0: none",
        ge=0,
        lt=1,
    )
    test_flip: bool = key(False, "evaluate each image and its mirror image, and average the probabilities")
    precision: Precision = key(
        "fp32", "of training steps: fp32, tf32 (GPUs), bf16 or fp16 (autocast); evaluation stays fp32"
    )
    accumulate: int = key(1, "parts of a batch that are computed one after the other, to save memory", ge=1)
    on_oom: Literal["fail", "halve_batch"] = key(
        "fail", "when memory runs out: fail, or halve the parts of a batch until it fits (the row says so)"
    )
    compile: Literal["auto", "always", "never"] = key(
        "auto", "torch.compile for training; auto: on CUDA, in runs of 2,000 steps or more"
    )
    memory_format: Literal["channels_last", "contiguous"] = key(
        "channels_last", "order of an image's numbers in memory; channels_last is the faster for most networks"
    )
    sync_batchnorm: bool = key(False, "processes: batch normalisation over the whole batch; GPUs only")
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
        weights = {"weights": self.weights_digest} if self.weights_digest else {}
        document = canonical_json({**identity, **weights, "keys": dict(self._changed_keys())})
        return hashlib.sha256(document.encode()).hexdigest()[:12]

    def _changed_keys(self) -> Iterator[tuple[str, Any]]:
        for name, introduced in _identifying(cast(Hashable, type(self))):
            value = getattr(self, name)
            if value != introduced and not (name == "pretrained" and self.weights_digest):
                yield name, value

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
        """Every key but the data and the seed, flat: ``model_args.depth`` for the entries of a mapping; of a file of
        weights its name only."""
        skipped = {"data", "seed", "pretrained", *RESOLVED}
        pairs = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in skipped}
        source = self.pretrained if isinstance(self.pretrained, bool) else self.pretrained.rsplit("/", 1)[-1]
        return dict(_flatten({**pairs, "pretrained": source}.items()))

    @property
    def probes(self) -> bool:
        """Whether nothing before the classifier ever changes, images included: it can learn from kept features."""
        as_they_are = all(
            getattr(self, each.name) == each.metadata["introduced"]
            for each in dataclasses.fields(self)
            if each.name in CHANGING_IMAGES
        )
        return self.freeze == "backbone" and self.unfreeze_epoch is None and as_they_are

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


@cache
def _identifying(kind: Any) -> tuple[tuple[str, Any], ...]:
    """The keys of an identity beside those that are always told, each with its default at introduction."""
    told = {"data", "model", "recipe", "seed", *RESOLVED}
    return tuple((each.name, each.metadata["introduced"]) for each in dataclasses.fields(kind) if each.name not in told)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical_json(document: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN, so that equal documents have equal text."""
    return _CANONICAL.encode(document)


def _flatten(pairs: Any, prefix: str = "") -> Iterator[tuple[str, Value]]:
    for name, value in pairs:
        if isinstance(value, Mapping):
            yield from _flatten(value.items(), f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", json.dumps(value)
        else:
            yield f"{prefix}{name}", value
