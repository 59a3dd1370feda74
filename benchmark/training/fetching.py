"""Child process: pretrained weights, found or downloaded, checked against their network, stored under their SHA-256.

    python -m benchmark.training.fetching < request.json

Reads ``{"cache": DIRECTORY, "specs": [...]}`` and writes one line of JSON for each, the facts of
:class:`benchmark.weights.WeightsFacts`.  Libraries keep their downloads where they always do (``HF_HOME``,
``TORCH_HOME``); what is stored has the tensors under the model's own names, as they were trained.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import socket
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from safetensors.torch import save
from torch import nn

from benchmark.children import answers
from benchmark.durable import atomic
from benchmark.training import models, statedict, timm_models, torchvision_models
from benchmark.training.pretrained import fill, named_for
from benchmark.training.statedict import Tensors, WeightsError
from benchmark.weights import FILE, WeightsFacts, WeightsSpec, directory, is_file

SILENCE = 60.0
"""Seconds without a byte after which a download is given up."""
REMEDY = (
    "give a file (pretrained: ./weights.safetensors), or fill the library's cache where there is a network and copy it "
    "(HF_HOME, with HF_HUB_OFFLINE=1; TORCH_HOME)"
)
_FAILED: dict[str, str] = {}
"""Place -> what went wrong there: no place is asked twice by one process, since the libraries try for long."""
_REASON = 300
"""Of what a library says of a failed download, so many letters are shown."""


def main(requests: IO[str], answers: IO[str]) -> None:
    """Answers one request, each line as soon as it is known."""
    request = json.load(requests)
    socket.setdefaulttimeout(SILENCE)
    for document in request["specs"]:
        facts = obtained(WeightsSpec(**document), Path(request["cache"]))
        answers.write(json.dumps(dataclasses.asdict(facts)) + "\n")
        answers.flush()


def obtained(spec: WeightsSpec, cache: Path) -> WeightsFacts:
    """The facts of weights, which then lie in ``cache``; what is wrong with them stands in ``error``."""
    try:
        source, name = models.resolve(spec.model)
        name = f"{name.partition('.')[0]}.{_tag(spec, source, name)}" if _has_tag(spec) else name
        network = models.build(spec.model, json.loads(spec.model_args), spec.image_size, spec.channels, spec.classes)
        tensors = named_for(network, _tensors(spec, source, name))
        fill(network, tensors)
        return dataclasses.replace(_input(source, name), digest=_stored(tensors, cache))
    except (WeightsError, models.ModelError) as error:
        return WeightsFacts(error=f"pretrained weights of {spec.model}: {error}")


def _has_tag(spec: WeightsSpec) -> bool:
    return bool(spec.source) and not is_file(spec.source)


def _tag(spec: WeightsSpec, source: str, name: str) -> str:
    """Of the weights that ``pretrained`` names, of timm's for this architecture."""
    plain = name.partition(".")[0]
    tag = spec.source.removeprefix("timm/").removeprefix(f"{plain}.")
    known = timm_models.tags(plain) if source == "timm" else ()
    if tag in known:
        return tag
    has = f"timm has {', '.join(known)}" if known else "it has no tags"
    raise WeightsError(f"pretrained: {spec.source!r} is neither a file nor a tag of its weights; {has}")


def _tensors(spec: WeightsSpec, source: str, name: str) -> Tensors:
    if is_file(spec.source):
        return statedict.read(Path(spec.source))
    if source in ("own", "plugin"):
        raise WeightsError("there are none to download; give a file (pretrained: ./weights.safetensors)")
    sources = _timm_sources(name) if source == "timm" else _torchvision_sources(name)
    return _downloaded(sources)


def _downloaded(sources: Mapping[str, Callable[[], nn.Module]]) -> Tensors:
    """The weights of the first source that has them."""
    for place, make in sources.items():
        try:
            if place not in _FAILED:
                return dict(make().state_dict())
        except Exception as error:  # of networks, files and libraries, whatever goes wrong
            _FAILED[place] = f"{place}: {type(error).__name__}: {' '.join(str(error).split())[:_REASON]}"
    told = "; ".join(_FAILED[place] for place in sources)
    raise WeightsError(f"could not be downloaded. Tried {told}. {REMEDY[0].upper()}{REMEDY[1:]}")


def _timm_sources(name: str) -> dict[str, Callable[[], nn.Module]]:
    import timm

    known = timm_models.get_cfg(name)
    found: dict[str, Callable[[], nn.Module]] = {}
    if known is not None and known.hf_hub_id:
        found[f"the hub ({known.hf_hub_id})"] = lambda: timm.create_model(name, pretrained=True)
    if known is not None and known.url:
        elsewhere = {"hf_hub_id": None, "custom_load": known.custom_load}
        found[str(known.url)] = lambda: timm.create_model(name, pretrained=True, pretrained_cfg_overlay=elsewhere)
    if not found:
        tags = timm_models.tags(name.partition(".")[0])
        other = f"; there are {', '.join(tags)}" if tags else "; give a file (pretrained: ./weights.safetensors)"
        raise WeightsError(f"timm has no weights for it{other}")
    return found


def _torchvision_sources(name: str) -> dict[str, Callable[[], nn.Module]]:
    import torchvision

    weights = torchvision_models.weights(name)
    if weights is None:
        raise WeightsError("torchvision has no weights for it; give a file (pretrained: ./weights.safetensors)")
    return {weights.url: lambda: torchvision.models.get_model(name, weights=weights)}


def _input(source: str, name: str) -> WeightsFacts:
    """How the model wants its images."""
    if source == "torchvision":
        return torchvision_models.wanted_input(name)
    known = timm_models.get_cfg(name) if source == "timm" else None
    if known is None:
        return WeightsFacts()
    # Some of timm's are trained on random choices of filters, for which it tests with the bicubic one.
    interpolation = known.interpolation if known.interpolation in ("nearest", "bilinear", "lanczos") else "bicubic"
    crop = float(known.crop_pct or 1.0)
    return WeightsFacts(mean=tuple(known.mean), std=tuple(known.std), interpolation=interpolation, crop_pct=crop)


def _stored(tensors: Tensors, cache: Path) -> str:
    """Writes the weights where their digest says; the digest."""
    content = save({name: each.detach().clone().contiguous() for name, each in tensors.items()})
    digest = hashlib.sha256(content).hexdigest()
    path = directory(digest, cache) / FILE
    with atomic(path) as file:
        file.write(content)
    return digest


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of libraries about each other; nobody reads them here
    main(sys.stdin, answers())
