"""Typed keys of a YAML mapping, built from the fields of a dataclass, so that defaults and limits live only there.

Validation is pydantic's (strict, no unknown keys); its errors are put into our words at the place of the value.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import re
import types
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from benchmark import plugins
from benchmark.config.document import Node
from benchmark.config.problems import Mark, Problems, choose, shown
from benchmark.visible import HIDDEN

Rule = Callable[[Any], str | None]
"""A further check of a key's value: what is wrong with it, or ``None``."""

_CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())
_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", types.NoneType: "null"}
_TIME = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s)?")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
MAX_TEXT = 4096
"""Characters; as long as a path may be."""
_LIMITS = {"ge": "at least", "gt": "greater than", "le": "at most", "lt": "less than", "min_length": "of length"}


@dataclass(frozen=True, slots=True)
class Given:
    """A valid value and where it stands; ``inner`` has the places of a mapping's keys."""

    value: Any
    mark: Mark
    inner: Mapping[str, Mark] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Keys:
    """The keys that one mapping may have.  ``model`` also gives their JSON Schema."""

    model: type[BaseModel]
    fields: Mapping[str, tuple[Any, Mapping[str, Any]]]
    rules: Mapping[str, Rule] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls, name: str, fields: Mapping[str, dataclasses.Field[Any]], rules: Mapping[str, Rule] | None = None
    ) -> Keys:
        """Keys named as the dataclass fields ``fields``, whose types are real types (see :func:`fields_of`)."""
        typed = {key: (each.type, each.metadata.get("limits", {})) for key, each in fields.items()}
        definitions: dict[str, Any] = {key: _definition(each) for key, each in fields.items()}
        with warnings.catch_warnings():  # a key may be called as a method is (`register`): we call none of them
            warnings.filterwarnings("ignore", "Field name .* shadows an attribute", UserWarning)
            return cls(create_model(name, __config__=_CONFIG, **definitions), typed, rules or {})

    def read(self, node: Node, problems: Problems, *, apart: Collection[str] = ()) -> dict[str, Given]:
        """The valid values of a mapping; every other one becomes a problem.  Keys in ``apart`` are left to others."""
        if not isinstance(node.value, dict):
            problems.add(node.mark, f"this must be a mapping of keys to values, not {shown(node.value)}")
            return {}
        pairs = {key: child for key, child in node.items() if key not in apart}
        given = {key: self.value(key, each, node.key_mark(key), problems, apart=apart) for key, each in pairs.items()}
        return {key: each for key, each in given.items() if each is not None}

    def value(self, key: str, node: Node, at: Mark, problems: Problems, *, apart: Collection[str] = ()) -> Given | None:
        """The valid value of one key, which stands ``at`` a place; ``None`` after adding a problem."""
        if key not in self.fields:
            problems.add(at, f"unknown key {shown(key)}{choose(key, [*self.fields, *apart])}")
            return None
        wrong = self._wrong(key, node.value)
        if wrong:
            problems.add(node.mark, wrong)
            return None
        inner = {name: node.key_mark(name) for name in node.value} if isinstance(node.value, dict) else {}
        return Given(getattr(self.model.model_validate({key: node.value}), key), node.mark, inner)

    def number(self, key: str) -> type | None:
        """``int`` or ``float`` for a key that holds such numbers, else ``None``."""
        members = _members(self.fields[key][0]) if key in self.fields else ()
        return next((each for each in (float, int) if each in members), None)

    def _wrong(self, key: str, value: Any) -> str | None:
        try:
            self.model.model_validate({key: value})
        except ValidationError:
            return self._message(key, value)
        if any(isinstance(each, float) and not math.isfinite(each) for each in _leaves(value)):
            return f"{key} must have finite numbers only"
        if odd := odd_text(key, value):
            return odd
        rule = self.rules.get(key)
        return rule(value) if rule else None

    def _message(self, key: str, value: Any) -> str:
        annotation, limits = self.fields[key]
        choices = _choices(annotation)
        if choices and isinstance(value, str | int | float | None):
            return f"{key} cannot be {shown(value)}{choose(value, choices)}"
        hint = _as_number(value) if isinstance(value, str) and str not in _members(annotation) else ""
        return f"{key} must be {_expected(annotation, limits)}, not {shown(value)}{hint}"


def _as_number(text: str) -> str:
    """How what was written would be written as a number; empty where nobody knows."""
    if _NUMBER.fullmatch(text):
        return "; leave out the quotes"
    if (found := _TIME.fullmatch(text)) and found[0]:
        hours, minutes, seconds = (int(each or 0) for each in found.groups())
        return f"; in seconds that is {3600 * hours + 60 * minutes + seconds}"
    if text.endswith("%") and _NUMBER.fullmatch(text[:-1]):
        return f"; as a fraction that is {float(text[:-1]) / 100:g}"
    return ""


def fields_of(cls: type, *names: str) -> dict[str, dataclasses.Field[Any]]:
    """Fields of a dataclass by name (all where none is named), with their annotations made into types."""
    hints = get_type_hints(cls)
    fields = {each.name: copy.copy(each) for each in dataclasses.fields(cls)}
    for name, each in fields.items():
        each.type = _with_plugins(hints[name], each.metadata.get("plugins"))
    return {name: fields[name] for name in names or fields}


def _with_plugins(annotation: Any, kind: plugins.Kind | None) -> Any:
    """A choice among words, and among what packages bring.

    Raises:
        PluginError: one of these has the name of ours.
    """
    added = plugins.found(kind) if kind else {}
    if taken := next((each for name, each in added.items() if name in get_args(annotation)), None):
        raise plugins.PluginError(
            f"the package {taken.distribution} brings {taken.name!r} as benchmark.{kind}, which is a name of ours: "
            "call it differently there, or uninstall the package"
        )
    return Literal[(*get_args(annotation), *added)] if added else annotation


def _definition(field: dataclasses.Field[Any]) -> tuple[Any, Any]:
    limits: Mapping[str, Any] = field.metadata.get("limits", {})
    return _limited(field.type, limits), Field(default=_default(field), description=field.metadata.get("description"))


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _limited(annotation: Any, limits: Mapping[str, Any]) -> Any:
    """Limits belong to the number of a union such as ``int | Literal["auto"]``, not to the whole."""
    if _is_union(annotation):
        return Union[tuple(_limited(each, limits) for each in get_args(annotation))]  # noqa: UP007 - made at run time
    return Annotated[annotation, Field(**limits)] if limits and annotation in {int, float, str} else annotation


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in {Union, types.UnionType}


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if _is_union(annotation) else (annotation,)


def _choices(annotation: Any) -> list[str]:
    """The allowed words, where the type is nothing but a choice among some."""
    members = _members(annotation)
    if not any(get_origin(each) is Literal for each in members):
        return []
    if any(get_origin(each) is not Literal and each is not types.NoneType for each in members):
        return []
    return [word for each in members for word in _literals(each)]


def _literals(annotation: Any) -> list[str]:
    return [str(each) for each in get_args(annotation)] if get_origin(annotation) is Literal else ["null"]


def _expected(annotation: Any, limits: Mapping[str, Any]) -> str:
    bounds = " and ".join(f"{_LIMITS.get(name, name)} {limit}" for name, limit in limits.items())
    return " or ".join(_word(each, bounds) for each in _members(annotation))


def _word(annotation: Any, bounds: str) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(str(each) for each in get_args(annotation))
    if annotation in {int, float, str} and bounds:
        return f"{_WORDS[annotation]} {bounds}"
    return "a list" if get_origin(annotation) is list else _WORDS.get(annotation, "a mapping")


def odd_text(key: str, value: Any) -> str | None:
    """What is wrong with the texts in a key's value, or ``None``."""
    for text in _texts(value):
        if len(text) > MAX_TEXT:
            return f"{key} has a text of more than {MAX_TEXT} characters; write a shorter one"
        if found := HIDDEN.search(text):
            return f"{key} has the invisible character U+{ord(found[0]):04X}; leave it out"
    return None


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value, names of entries among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def size(value: Any) -> int:
    """How many values there are in a value, those in its lists and mappings counted one by one."""
    return sum(1 for _ in _leaves(value))


def _leaves(value: Any) -> Iterator[Any]:
    children = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else None
    if children is None:
        yield value
    else:
        for each in children:
            yield from _leaves(each)
