"""Pretrained weights, found or downloaded once, checked against their network, and kept in the cache.

A child process does it (:mod:`benchmark.training.fetching`), since it takes torch.  Its answers are kept, too, one
small JSON file each, under a key of what was asked for, the file's size and time, and the versions of the libraries.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark import weights
from benchmark.catalogue import CatalogueError
from benchmark.children import command, environment
from benchmark.data.datacache import locked, writing
from benchmark.durable import write_json
from benchmark.records import LIBRARIES
from benchmark.run import canonical_json
from benchmark.weights import WeightsFacts, WeightsSpec

VERSION = 1
"""Raised when the same weights are stored or judged otherwise than before."""


def obtain(specs: Sequence[WeightsSpec], cache: Path) -> dict[WeightsSpec, WeightsFacts]:
    """The facts of each of ``specs``, whose weights then lie in the cache; what cannot be had or does not fit has an
    ``error``, which names the remedy, and is asked for again the next time.

    Raises:
        CatalogueError: torch and its companions cannot be imported.
        DataError: the cache cannot be written.
    """
    found = {spec: facts for spec in specs if (facts := _known(spec, cache))}
    unknown = [spec for spec in dict.fromkeys(specs) if spec not in found]
    if unknown:
        with locked(cache, "weights"):
            for spec, facts in zip(unknown, _ask(unknown, cache), strict=True):
                found[spec] = _kept(spec, facts, cache)
    return found


def _known(spec: WeightsSpec, cache: Path) -> WeightsFacts | None:
    """An earlier answer, if the weights are still there."""
    try:
        document = json.loads(_path(spec, cache).read_text(encoding="utf-8"))
        facts = _facts(document)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    file = weights.directory(facts.digest, cache) / weights.FILE
    return facts if file.exists() and file.stat().st_size == document["size"] else None


def _kept(spec: WeightsSpec, facts: WeightsFacts, cache: Path) -> WeightsFacts:
    if not facts.error:
        size = (weights.directory(facts.digest, cache) / weights.FILE).stat().st_size
        with writing(cache):
            write_json(_path(spec, cache), {**dataclasses.asdict(facts), "size": size})
    return facts


def _facts(document: Mapping[str, Any]) -> WeightsFacts:
    names = [each.name for each in dataclasses.fields(WeightsFacts)]
    values = {name: document[name] for name in names}
    return WeightsFacts(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


def _path(spec: WeightsSpec, cache: Path) -> Path:
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    document = {"version": VERSION, **dataclasses.asdict(spec), "stamp": _stamp(spec), **versions}
    return cache / "weights" / f"{hashlib.sha256(canonical_json(document).encode()).hexdigest()[:16]}.json"


def _stamp(spec: WeightsSpec) -> list[int]:
    """Changes when a file does."""
    try:
        stat = Path(spec.source).stat() if weights.is_file(spec.source) else None
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns] if stat else []


def _ask(specs: Sequence[WeightsSpec], cache: Path) -> Iterator[WeightsFacts]:
    request = {"cache": str(cache), "specs": [dataclasses.asdict(spec) for spec in specs]}
    child = subprocess.run(
        command("benchmark.training.fetching"),
        input=json.dumps(request),
        env={"OMP_NUM_THREADS": "1", **environment()},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    answers = child.stdout.splitlines()
    if child.returncode or len(answers) != len(specs):
        tail = "\n".join(child.stderr.splitlines()[-20:])
        raise CatalogueError(f"obtaining weights failed with exit status {child.returncode}:\n{tail}")
    return (_facts(json.loads(answer)) for answer in answers)
