"""Child process: a data set of the library ``datasets`` as an export of packed image files (``exports.py``).

    python -m benchmark.data.hf_export folder|hub PLACE IMAGE_COLUMN LABEL_COLUMN OUTPUT

Empty columns are found: the one of images, and the one of classes, or else ``label``.  The splits ``train``,
``validation`` (or ``valid``, ``val``, ``dev``) and ``test`` are used where they are; others are an error.  No code of a
data set is run.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.data import child
from benchmark.data.datacache import DataError
from benchmark.data.exports import times, write
from benchmark.data.filetable import FileFacts
from benchmark.data.images import ImageError, decode, parallel
from benchmark.data.listed import sorted_labels
from benchmark.data.packed import Packer
from benchmark.data.splits import NAMES, VAL
from benchmark.data.table import NAMES_OF_SPLITS

SHOWN = 20
WINDOW = 64
SPLITS = {**NAMES_OF_SPLITS, "dev": VAL}
Item = tuple[int, Any]


def make(arguments: list[str], output: Path) -> None:
    """Writes the export."""
    kind, place, image, label = arguments
    parts = _parts(_loaded(kind, place))
    first = next(iter(parts.values()))
    image, label = _image_column(first, image), _label_column(first, label)
    labels = {part: _labels(data, label, part) for part, data in parts.items()}
    names = _class_names(first, label, labels)
    for part, data in parts.items():
        _pack(data, image, output, part)
    numbers = {name: number for number, name in enumerate(names)}
    known = {part: np.array([numbers[each] for each in values], dtype=np.int64) for part, values in labels.items()}
    write(output, "packed", names, known, _files(place) if kind == "folder" else {})


def _loaded(kind: str, place: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"the library `datasets` is missing ({error}): pip install 'torch-image-benchmark[hf]', or save the images "
            "in one directory for each class and use `source: folder`"
        ) from error
    datasets.disable_progress_bars()
    if kind == "folder":
        if not any((Path(place) / each).is_file() for each in ("dataset_dict.json", "state.json")):
            raise DataError("no data set that `save_to_disk` wrote; correct `path`, or give a hub's `name`")
        return datasets.load_from_disk(place)
    name, _, revision = place.partition("@")
    name, _, configuration = name.partition(":")
    try:
        return datasets.load_dataset(name, configuration or None, revision=revision or None)
    except Exception as error:  # the network's, the hub's and every format's
        raise DataError(
            f"cannot be had from the hub: {type(error).__name__}: {error}\nRun this once on a machine with a network, "
            "save it there with `save_to_disk`, and give the folder as `path`"
        ) from error


def _parts(data: Any) -> dict[str, Any]:
    """Our splits -> theirs."""
    if not isinstance(data, Mapping):
        return {"train": data}
    unknown = [name for name in data if name not in SPLITS]
    if unknown or len({SPLITS[name] for name in data}) < len(data):
        raise DataError(
            f"has the splits {', '.join(data)}; of train, validation and test one each can be used: save it with these"
        )
    found = {NAMES[SPLITS[name]]: data[name] for name in data}
    if "train" not in found:
        raise DataError(f"has no split train, only {', '.join(data)}; save it with one")
    return {part: found[part] for part in NAMES if part in found}


def _image_column(data: Any, given: str) -> str:
    import datasets

    images = [name for name, feature in data.features.items() if isinstance(feature, datasets.Image)]
    return _column(data, given, images, "image_column", "images")


def _label_column(data: Any, given: str) -> str:
    import datasets

    if given and given in data.features:
        return given
    labels = [name for name, feature in data.features.items() if isinstance(feature, datasets.ClassLabel)]
    labels = labels or [name for name in data.features if name in {"label", "labels", "class"}]
    return _column(data, given, labels, "label_column", "classes")


def _column(data: Any, given: str, fitting: list[str], key: str, what: str) -> str:
    if given in fitting:
        return given
    if not given and len(fitting) == 1:
        return fitting[0]
    asked = f"{given!r} is no column of {what}" if given else f"{len(fitting)} columns of {what}"
    raise DataError(f"{asked}; its columns are {', '.join(data.features)}; name the right one with `{key}`")


def _labels(data: Any, column: str, part: str) -> list[str]:
    """The class of each image, as text."""
    names = getattr(data.features[column], "names", None)
    values = data[column]
    found = list(values)
    wrong = [row for row, each in enumerate(found) if not isinstance(each, int | str) or (names and each == -1)]
    if wrong:
        rows = ", ".join(map(str, wrong[:SHOWN]))
        raise DataError(f"split {part}: no label of column {column!r} in {len(wrong)} rows: {rows}; leave them out")
    return [names[each] if names else str(each) for each in found]


def _class_names(data: Any, column: str, labels: Mapping[str, list[str]]) -> list[str]:
    used = {each for values in labels.values() for each in values}
    names = getattr(data.features[column], "names", None)
    return [each for each in names if each in used] if names else sorted_labels(used)


def _pack(data: Any, column: str, output: Path, part: str) -> None:
    """Copies the image files of a split."""
    import datasets

    encoded = data.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    packer, wrong = Packer(output, part), list[str]()
    for start in range(0, len(encoded), WINDOW):
        batch = list(enumerate(encoded[start : start + WINDOW][column], start=start))
        for row, content, facts in parallel(_examined, batch, WINDOW):
            if isinstance(facts, str):
                wrong.append(f"row {row}: {facts}")
            else:
                packer.add(content, facts)
    packer.close()
    if wrong:
        more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        lines = "".join(f"\n  {each}" for each in [*wrong[:SHOWN], *more])
        raise DataError(f"split {part}: {len(wrong)} of {len(encoded)} images cannot be read; leave them out:{lines}")


def _examined(item: Item) -> tuple[int, bytes, FileFacts | str]:
    row, value = item
    try:
        content = value["bytes"] if value["bytes"] is not None else Path(value["path"]).read_bytes()
        facts = FileFacts(hashlib.sha256(content).hexdigest(), *decode(content).shape)
    except (ImageError, OSError, TypeError) as error:
        return row, b"", "no image" if isinstance(error, TypeError) else str(error)
    return row, content, facts


def _files(place: str) -> dict[str, list[int]]:
    return {str(path): times(path) for path in _walk(place)}


def _walk(place: str) -> Iterator[Path]:
    for directory, _, names in os.walk(place):
        yield from (Path(directory, name) for name in names)


if __name__ == "__main__":
    sys.exit(child.main(make))
