"""Networks by name: our own, those of plug-ins, and every classifier of timm and torchvision.

``lenet5`` and ``small/…`` are ours, and a plug-in's is called as it says (:mod:`benchmark.plugins`); ``timm/x`` and
``torchvision/x`` name the library; a bare name is torchvision's for VGG, AlexNet and GoogLeNet and timm's for all
others, torchvision's where timm has none.  (timm's VGG enlarges 1x1 maps
to 7x7 before a convolution of 4,096 channels, which small images pay dearly; timm's Inception v3 has no auxiliary head
unless asked, so that it takes 75 pixels where torchvision's needs 299.)

A network maps float images (n, channels, image_size, image_size) to logits (n, classes).  While training, one with
auxiliary heads (GoogLeNet, Inception v3) gives a tuple: the logits, then each head's; ``model_args: {aux_logits:
false}`` leaves the heads out.  Weights are random, drawn from torch's global generator; pretrained ones are written
over them (:mod:`benchmark.training.pretrained`), and are never downloaded here.  A name with a tag of timm's weights
(``resnet18.a1_in1k``) is the same network, which ``pretrained: true`` gives those weights.
"""

from __future__ import annotations

import difflib
import inspect
import re
import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.plugins import Plugin, PluginError
from benchmark.plugins import found as found_plugins
from benchmark.run import Run, canonical_json
from benchmark.training import timm_models, torchvision_models
from benchmark.training.lenet import LeNet5
from benchmark.training.small import SMALL

AUX_WEIGHT = 0.3
"""Weight of each auxiliary head's loss (Szegedy et al. 2015, arXiv:1409.4842, section 5)."""

OWN: dict[str, tuple[Callable[..., nn.Module], str]] = {
    "lenet5": (LeNet5, "LeNet-5 ({activation}, {pooling} pooling)"),
    **SMALL,
}
_LIBRARIES = {"timm": timm_models, "torchvision": torchvision_models}
_TORCHVISION_FIRST = re.compile(r"vgg\d|alexnet$|googlenet$")
_GIVEN = {
    **dict.fromkeys(("num_classes", "classes"), "the data's classes decide it"),
    **dict.fromkeys(("in_chans", "channels"), "the key channels decides it"),
    **dict.fromkeys(("img_size", "image_size", "input_size"), "the key image_size decides it"),
    **dict.fromkeys(("features_only", "out_indices", "scriptable", "exportable", "device", "dtype"), "it has no use"),
    **dict.fromkeys(("weights", "progress", "checkpoint_path", "cache_dir", "pruned"), "the key pretrained decides it"),
}


_REGULARISERS = {
    "dropout": ("drop_rate", "dropout"),
    "drop_path": ("drop_path_rate", "stochastic_depth_prob"),
}
"""Constructors' names for a key: timm's, torchvision's."""


class ModelError(ValueError):
    """A model that does not exist or cannot be built as asked; the message says what to change."""


def build(model: str, model_args: Mapping[str, Any], image_size: int, channels: int, classes: int) -> nn.Module:
    """The network that ``model`` names, with random weights on torch's current default device.

    Args:
        model_args: further arguments of the network's constructor.
        image_size: height and width of the images in pixels.
        channels: 1 (grey) or 3 (RGB).
        classes: number of logits, at least 2.

    Raises:
        ModelError: the name is unknown, an argument is, or they do not go together.
    """
    source, name = resolve(model)
    _check_given(model_args)
    if classes < 2:
        raise ModelError(f"a classifier needs at least 2 classes, not {classes}")
    try:
        network = _make(source, name, model_args, image_size, channels, classes)
    except Exception as error:  # a library's constructor raises anything at arguments that do not fit
        raise ModelError(_explain(error, source, name, model_args, image_size, channels)) from error
    if getattr(network, "aux_logits", False):
        network.register_forward_hook(_uniform)
    return network


def resolve(model: str) -> tuple[str, str]:
    """Where a model comes from (``own``, ``timm``, ``torchvision`` or ``plugin``) and its name there.

    Raises:
        ModelError: there is none of that name; the message has the nearest ones.
    """
    if model in OWN:
        return "own", model
    if model in found_plugins("models"):
        return "plugin", model
    prefix, _, rest = model.rpartition("/")
    if prefix in _LIBRARIES and rest in _LIBRARIES[prefix].names():
        return prefix, rest
    for source in ("torchvision", "timm") if _TORCHVISION_FIRST.match(model) else ("timm", "torchvision"):
        if model in _LIBRARIES[source].names():
            return source, model
    untagged, _, tag = rest.partition(".")
    if prefix in ("", "timm") and tag and untagged in timm_models.names():
        if tag not in (tags := timm_models.tags(untagged)):
            known = f"it has {', '.join(tags)}" if tags else "it has none"
            raise ModelError(f"timm has no weights {tag!r} of {untagged}; {known}")
        return "timm", rest
    raise ModelError(f"unknown model {model!r}{_nearest(model.partition('.')[0], known_names())}")


def known_names() -> tuple[str, ...]:
    """Every name that :func:`build` takes: our own, plug-ins', bare ones, and those with their library.

    Raises:
        PluginError: a plug-in's name is another network's.
    """
    libraries = {source: library.names() for source, library in _LIBRARIES.items()}
    bare = sorted({name for each in libraries.values() for name in each})
    added = found_plugins("models")
    if taken := next((each for each in added.values() if each.name in {*OWN, *bare}), None):
        raise PluginError(f"the package {taken.distribution} calls a network {taken.name!r}, which is another's name")
    return (*OWN, *added, *bare, *(f"{source}/{name}" for source, each in libraries.items() for name in each))


def listed_names() -> tuple[str, ...]:
    """One name for each network: a name with its library only where the bare name means another one."""
    seen: dict[tuple[str, str], str] = {}
    for name in known_names():
        seen.setdefault(resolve(name), name)
    return tuple(seen.values())


def with_weights() -> tuple[str, ...]:
    """Those of :func:`listed_names` for which the library has pretrained weights."""
    named = {source: library.with_weights() for source, library in _LIBRARIES.items()}
    found = ((name, *resolve(name)) for name in listed_names())
    return tuple(name for name, source, known in found if known in named.get(source, ()))


def regularisation(run: Run) -> dict[str, float]:
    """The keys ``dropout`` and ``drop_path`` as arguments of the model's constructor.

    Raises:
        ModelError: the model has none of them, or ``model_args`` has it too.
    """
    source, name = resolve(run.model)
    asked = {key: value for key, value in (("dropout", run.dropout), ("drop_path", run.drop_path)) if value is not None}
    found = {}
    for key, value in asked.items():
        names = [each for each in _REGULARISERS[key] if each in _arguments(source, name)]
        if not names:
            raise ModelError(f"{key}: {run.model} has none; leave the key out for it")
        if clash := next((each for each in names if each in run.model_args), None):
            raise ModelError(f"{key}: model_args has {clash!r} too; leave one of them out")
        found[names[0]] = value
    return found


def architecture(model: str, model_args: Mapping[str, Any]) -> str:
    """Which network this is, in words, such as ``resnet18 of timm`` or, with arguments, ``…; depth 6``.

    Raises:
        ModelError: the name is unknown.
    """
    source, name = resolve(model)
    words, rest = _own_words(name, model_args) if source == "own" else (f"{name} of {source}", model_args)
    if source == "plugin":
        words = f"{name} of {found_plugins('models')[name].distribution}"
    changes = ", ".join(f"{key} {_word(value)}" for key, value in sorted(rest.items()))
    return f"{words}; {changes}" if changes else words


def _make(
    source: str, name: str, model_args: Mapping[str, Any], image_size: int, channels: int, classes: int
) -> nn.Module:
    if source == "own":
        return OWN[name][0](image_size, channels, classes, **model_args)
    if source == "plugin":
        return _checked(found_plugins("models")[name], image_size, channels, classes, model_args)
    network: nn.Module = _LIBRARIES[source].make(name, model_args, image_size, channels, classes)
    return network


def _checked(plugin: Plugin, image_size: int, channels: int, classes: int, model_args: Mapping[str, Any]) -> nn.Module:
    made = plugin.load()(image_size, channels, classes, **model_args)
    if not isinstance(made, nn.Module):
        raise ModelError(f"{plugin.name} of {plugin.distribution} made a {type(made).__name__}, not a torch.nn.Module")
    return made


def _own_words(name: str, model_args: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """What one of our networks is with these arguments, and the arguments that this does not tell."""
    maker, words = OWN[name]
    defaults = {each.name: each.default for each in inspect.signature(maker).parameters.values()}
    told = {field for _, field, _, _ in string.Formatter().parse(words) if field}
    values = {field: _word(model_args.get(field, defaults[field])) for field in told}
    return words.format(**values), {key: value for key, value in model_args.items() if key not in told}


def _uniform(network: nn.Module, _inputs: Any, outputs: Any) -> Tensor | tuple[Tensor, ...]:
    """timm's Inception v3 gives its auxiliary logits in evaluation too."""
    if isinstance(outputs, tuple):
        return tuple(outputs) if network.training else outputs[0]
    assert isinstance(outputs, Tensor)
    return outputs


def _check_given(model_args: Mapping[str, Any]) -> None:
    for name in model_args:
        if reason := "the key pretrained decides it" if name.startswith("pretrained") else _GIVEN.get(name):
            raise ModelError(f"model_args may not have {name!r}: {reason}")


def _explain(
    error: Exception, source: str, name: str, model_args: Mapping[str, Any], image_size: int, channels: int
) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, TypeError) and (found := re.search(r"unexpected keyword argument '(\w+)'", text)):
        valid = _arguments(source, name)
        return f"unknown entry {found[1]!r} in model_args{_nearest(found[1], valid)}; known: {', '.join(valid)}"
    if isinstance(error, TypeError) and (found := re.search(r"multiple values for .*argument '(\w+)'", text)):
        return f"model_args may not have {found[1]!r}: {name} sets it itself"
    if source == "own" or isinstance(error, ValueError | PluginError):
        return text
    asked = f"channels: {channels}, model_args: {canonical_json(dict(model_args))}"
    return f"cannot be built for images of {image_size} pixels, {asked}: {text}"


def _arguments(source: str, name: str) -> tuple[str, ...]:
    """What ``model_args`` may have, as far as the constructors tell."""
    if source in ("own", "plugin"):
        makers: Iterable[Any] = [OWN[name][0] if source == "own" else found_plugins("models")[name].load()]
    else:
        with torch.device("meta"):
            network = _LIBRARIES[source].make(name, {}, 224, 3, 1000)
        makers = [each.__init__ for each in type(network).__mro__ if issubclass(each, nn.Module) and each != nn.Module]
    given = {"self", *_GIVEN}
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = (each for maker in makers for each in inspect.signature(maker).parameters.values())
    return tuple(sorted({each.name for each in found if each.kind in kinds and each.name not in given}))


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(_word, value))
    return value if isinstance(value, str) else canonical_json(value)
