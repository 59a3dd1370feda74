"""The value of a ``data`` key: a source's name, or a mapping such as ``{source: folder, path: ./photos}``.

``image_size``, ``resize`` and ``channels`` in the mapping set the run's keys for this data set, below keys that are
given explicitly.  Paths are relative to the YAML's directory and become absolute; addresses in S3 stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from benchmark import plugins
from benchmark.config.document import Document, Node
from benchmark.config.keys import Given, Keys, fields_of
from benchmark.config.paths import under
from benchmark.config.problems import Mark, Problems, choose, shown
from benchmark.data.address import EXAMPLE, SCHEME, Address
from benchmark.run import DataSpec, Run

_SPLIT = ("source", "name", "val_fraction", "split_seed")
_OWN = ("path", "test_fraction", "duplicates")
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "fashion-mini": _SPLIT,
    "digits": (*_SPLIT, "test_fraction"),
    "synthetic": (*_SPLIT, "train_size", "test_size", "size", "planes", "classes", "data_seed"),
    "folder": (*_SPLIT, *_OWN),
    "csv": (*_SPLIT, *_OWN, "image_column", "label_column", "split_column"),
    "npz": (*_SPLIT, *_OWN),
    "hf": (*_SPLIT, *_OWN, "image_column", "label_column"),
    "s3": (*_SPLIT, *_OWN),
    "torchvision": (*_SPLIT, "path", "test_fraction"),
}
"""Source -> the options it uses; another one is an error, since it would do nothing."""

REQUIRED = {
    "folder": ("path", "{source: folder, path: ./photos}"),
    "csv": ("path", "{source: csv, path: ./images.csv}"),
    "npz": ("path", "{source: npz, path: ./images.npz}"),
    "s3": ("path", f"{{source: s3, path: {EXAMPLE}}}"),
    "torchvision": ("name", "{source: torchvision, name: CIFAR10}"),
}
MOST_SYNTHETIC = 64 * 2**30
"""Bytes; beyond them a typing error is likelier than a wish."""
RUN_KEYS = ("image_size", "resize", "channels")
_OTHER_SOURCES = (
    "a directory of images is written {source: folder, path: …} (also csv, npz, hf), one in S3 {source: s3, path: …}, "
    "a data set of torchvision {source: torchvision, name: …}"
)


@dataclass(frozen=True)
class DataChoice:
    """A data set, and the run's keys that its mapping sets."""

    spec: DataSpec = field(default_factory=DataSpec)
    keys: Mapping[str, Given] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.spec.label


def identity(value: Any) -> object:
    """Equal for equal values of a run's key, data sets included; hashable for seeds and data sets."""
    if not isinstance(value, DataChoice):
        return value
    return value.spec, tuple((key, value.keys[key].value) for key in RUN_KEYS if key in value.keys)


def read_data(node: Node, base: Path, problems: Problems) -> Given | None:
    """The :class:`DataChoice` of a ``data`` key whose paths are relative to ``base``; ``None`` after a problem."""
    known = (*OPTIONS, *plugins.found("data"))
    if isinstance(node.value, str) and node.value not in known:
        problems.add(node.mark, f"unknown data {shown(node.value)}{choose(node.value, known)}; {_OTHER_SOURCES}")
        return None
    if isinstance(node.value, list):
        problems.add(node.mark, "one data set stands here; several are an axis of the matrix: matrix: {data: [...]}")
        return None
    wrong = Problems()
    given = _keys().read(_mapping(node), wrong)
    choice = None if wrong else _choice(given, node.mark, base, wrong)
    problems.extend(wrong.found)
    return None if wrong else Given(choice, node.mark)


@cache
def _keys() -> Keys:
    return Keys.of("DataKeys", {**fields_of(DataSpec), **fields_of(Run, *RUN_KEYS)})


def options(source: str) -> tuple[str, ...]:
    """The options that a source uses; a plug-in's has those of the user's own files."""
    return OPTIONS.get(source, (*_SPLIT, *_OWN))


def _mapping(node: Node) -> Node:
    """The node as a mapping: a bare name stands for ``{source: name}``."""
    if not isinstance(node.value, str):
        return node
    return Document(node.mark.path, {"source": node.value}, {(): node.mark, ("source",): node.mark}).root


def _choice(given: Mapping[str, Given], mark: Mark, base: Path, problems: Problems) -> DataChoice:
    values: dict[str, Any] = {key: each.value for key, each in given.items() if key not in RUN_KEYS}
    if values.get("path"):
        values["path"] = absolute(values["path"], base)
    spec = DataSpec(**values)
    _check_options(spec, given, mark, problems)
    return DataChoice(spec, {key: given[key] for key in RUN_KEYS if key in given})


def _check_options(spec: DataSpec, given: Mapping[str, Given], mark: Mark, problems: Problems) -> None:
    if "path" in given and "source" not in given:
        problems.add(given["path"].mark, "path belongs to a source: for a directory of images write source: folder")
        return
    known = options(spec.source)
    for key in given.keys() - {*known, *RUN_KEYS}:
        users = ", ".join(source for source, options in OPTIONS.items() if key in options)
        problems.add(given[key].mark, f"{key} does nothing for {spec.source} data, it belongs to {users}; leave it out")
    need, example = REQUIRED.get(spec.source, ("source", ""))
    if spec.source == "hf" and not spec.path and not spec.name:
        problems.add(mark, "hf data need a path or a name, for example {source: hf, path: ./saved}")
    elif not getattr(spec, need):
        problems.add(mark, f"{spec.source} data need a {need}, for example {example}")
    elif "path" in given and "path" in known:
        _check_path(spec, given["path"], problems)
    elif spec.source == "synthetic" and (size := _synthetic_bytes(spec)) > MOST_SYNTHETIC:
        gib = f"{size / 2**30:,.0f} GiB, at most {MOST_SYNTHETIC // 2**30}"
        problems.add(mark, f"these synthetic images take {gib}: make fewer or smaller ones")


def _synthetic_bytes(spec: DataSpec) -> int:
    """Of images with their labels, and of each class's template."""
    pixels = spec.size**2 * spec.planes
    return (spec.train_size + spec.test_size) * (pixels + 8) + 4 * spec.classes * pixels


def _check_path(spec: DataSpec, path: Given, problems: Problems) -> None:
    if spec.source == "s3":
        try:
            Address.parse(path.value)
        except ValueError as error:
            problems.add(path.mark, f"path {error}")
    elif path.value.startswith(SCHEME):
        problems.add(path.mark, f"path of {spec.source} data is a place on this machine; for S3 write source: s3")


def absolute(path: str, base: Path) -> str:
    """``path`` from the directory ``base``, ``~`` expanded; symbolic links are kept.  An address in S3 stays as it is,
    without a slash at its end."""
    if path.startswith(SCHEME):
        return path.rstrip("/")
    return os.path.abspath(under(base, path))  # noqa: PTH100 - Path.resolve would follow links


def schema_of_data() -> dict[str, Any]:
    """The JSON Schema of a mapping; which options belong to which source is not in it."""
    found = _keys().model.model_json_schema()
    found.pop("title", None)
    for each in found["properties"].values():
        each.pop("title", None)
    return found
