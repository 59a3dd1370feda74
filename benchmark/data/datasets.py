"""Data sets by their specification: what is known of them, and their decoded images, made once.

    facts = inspect(spec, cache_directory())
    directory = prepare(spec, image_size=32, channels=facts.channels, resize="crop", cache=cache_directory())

Numpy and Pillow only; scikit-learn's digits, and boto3 for images in S3, are imported when asked for; torchvision's
data sets, and those of the library ``datasets``, come through a child process.  Several processes may call this at once
with the same cache: one does the work, the others wait for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmark import plugins
from benchmark.data import arrays, duplicates, firstlook, folder, hf, listed, npz, prepared, s3, vision
from benchmark.data.datacache import DataError, cache_directory, locked, replacing, writing
from benchmark.data.firstlook import Wanted
from benchmark.data.folder import FileImages
from benchmark.data.imageset import DataFacts, ImageSet
from benchmark.durable import write_json
from benchmark.run import DataSpec, canonical_json

__all__ = ["DataError", "DataFacts", "Wanted", "cache_directory", "inspect", "prepare"]

FACTS_VERSION = 1
"""Raised when the same source gives other facts than before."""


@dataclass(frozen=True)
class Source:
    """``load`` gives the images.  ``stamp`` changes when they may have; ``None``, or none given: facts are not kept,
    since ``load`` is fast when nothing has changed."""

    load: Callable[[DataSpec, Path], ImageSet]
    stamp: Callable[[DataSpec, Path], str | None]


def _none(spec: DataSpec, cache: Path) -> None:
    """The stamp of images that are files, each of which is looked at."""


SOURCES: Mapping[str, Source] = {
    "fashion-mini": Source(
        lambda spec, cache: arrays.fashion_mini(spec), lambda spec, cache: arrays.stamp(spec.source)
    ),
    "digits": Source(lambda spec, cache: arrays.digits(spec), lambda spec, cache: arrays.stamp(spec.source)),
    "synthetic": Source(
        lambda spec, cache: arrays.synthetic_images(spec, cache), lambda spec, cache: arrays.stamp(spec.source)
    ),
    "folder": Source(folder.load, _none),
    "csv": Source(listed.load, _none),
    "npz": Source(npz.load, npz.stamp),
    "hf": Source(hf.load, hf.stamp),
    "s3": Source(s3.load, _none),
    "torchvision": Source(vision.load, vision.stamp),
}


def source_of(spec: DataSpec) -> Source:
    """Ours, or a plug-in's, which is asked each time whether its images have changed.

    Raises:
        PluginError: it cannot be imported.
        DataError: the package that brought it is not installed any more.
    """
    if spec.source in SOURCES:
        return SOURCES[spec.source]
    plugin = plugins.found("data").get(spec.source)
    if plugin is None:
        raise DataError(f"no package that is installed brings data of the source {spec.source!r}: install it")
    return Source(plugin.load(), _none)


CHECKED = ("folder", "csv", "npz", "hf", "s3")
"""The user's own: of published sets the splits are as they are known."""


def inspect(spec: DataSpec, cache: Path, wanted: Wanted | None = None) -> DataFacts:
    """Digest, classes, sizes and form of a data set.  The second call for unchanged data reads no image.

    Args:
        wanted: the form that will be asked for; files that have to be decoded are kept in it, and :func:`prepare`
            finds them.

    Raises:
        DataError: the data cannot be used, or the cache cannot be written.
    """
    source = source_of(spec)
    stamp = source.stamp(spec, cache)
    if stamp is None:
        return _seen(_checked(spec, cache), cache, wanted).facts()
    path = _facts_path(spec, stamp, cache)
    known = _read_facts(path)
    return known if known is not None else _write_facts(path, _seen(_checked(spec, cache), cache).facts(), cache)


def load(spec: DataSpec, cache: Path) -> ImageSet:
    """The images themselves, with their splits, also where equal images stand in several.

    Raises:
        DataError: the data cannot be read, or the cache cannot be written.
    """
    return _seen(source_of(spec).load(spec, cache), cache)


def prepare(
    spec: DataSpec,
    *,
    image_size: int,
    channels: int,
    resize: str,
    cache: Path,
    interpolation: str = "auto",
    crop_pct: float | None = None,
    digest: str = "",
) -> Path:
    """The directory (``prepared.py``) of the decoded images, made where it is missing or incomplete.

    Args:
        digest: of the data, from a moment ago: if its images are there, the source is not looked at again.

    Raises:
        DataError: as :func:`inspect`, or the images cannot be brought to the form.
    """
    wanted = Wanted(image_size, channels, resize, interpolation, crop_pct)
    form = wanted.form(image_size, channels)
    if digest and prepared.is_whole(known := _directory(cache, digest, form), digest):
        return known
    facts = inspect(spec, cache, wanted)
    directory = _directory(cache, facts.digest, form)
    if prepared.is_whole(directory, facts.digest):
        return directory
    with locked(cache, directory.name):
        if not prepared.is_whole(directory, facts.digest):
            _make(spec, facts, form, directory, cache)
    return directory


def _checked(spec: DataSpec, cache: Path) -> ImageSet:
    """The images, not all decoded yet, of which none is tested that has been trained on, unless the user allows it."""
    data = source_of(spec).load(spec, cache)
    own = spec.source in CHECKED or spec.source not in SOURCES
    if own and spec.duplicates == "refuse" and (leaks := duplicates.find(data).leaks):
        raise DataError(
            f"{spec.path or spec.name}: {duplicates.stand(len(leaks))} in more than one split: what is tested has been "
            f"trained on; keep one of each, or write duplicates: allow under data:{duplicates.described(leaks)}"
        )
    return data


def _seen(data: ImageSet, cache: Path, wanted: Wanted | None = None) -> ImageSet:
    """The images with all facts; new files are decoded, and kept where the form is known that they will have."""
    images = data.images
    if not isinstance(images, FileImages) or not images.new:
        return data
    form = firstlook.guess(images, wanted) if wanted else None
    if wanted is None or form is None:
        return replace(data, images=firstlook.see(images, cache))
    facts = data.facts()
    directory = _directory(cache, facts.digest, form)
    with locked(cache, directory.name):
        if prepared.is_whole(directory, facts.digest):
            return replace(data, images=firstlook.see(images, cache))
        look = firstlook.Look(images, cache)
        with suppress(_Misguessed), writing(cache), replacing(directory) as fresh:
            prepared.write(fresh, data, facts, form, look.pixels)
            images = look.finish()
            if not wanted.is_met(form, images):
                raise _Misguessed
    return replace(data, images=images)


class _Misguessed(Exception):
    """The images turned out to be others than a few of them let expect: nobody will ask for what was written."""


def _directory(cache: Path, digest: str, form: prepared.Form) -> Path:
    return cache / "data" / f"{digest[:16]}-{form.name}"


def _make(spec: DataSpec, facts: DataFacts, form: prepared.Form, directory: Path, cache: Path) -> None:
    data = _seen(_checked(spec, cache), cache)
    if data.facts() != facts:
        raise DataError(f"{spec.label}: the data changed while they were being read; run the command again")
    with writing(cache), replacing(directory) as fresh:
        prepared.write(fresh, data, facts, form)


def _facts_path(spec: DataSpec, stamp: str, cache: Path) -> Path:
    key = canonical_json({"version": FACTS_VERSION, "spec": asdict(spec), "stamp": stamp})
    return cache / "facts" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _read_facts(path: Path) -> DataFacts | None:
    """``None`` where they are not known yet, or the file is broken: it is only a cache."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return DataFacts(**{**document, "classes": tuple(document["classes"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_facts(path: Path, facts: DataFacts, cache: Path) -> DataFacts:
    with writing(cache):
        write_json(path, asdict(facts))
    return facts
