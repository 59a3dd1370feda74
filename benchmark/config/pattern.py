"""What an ``exclude`` or a ``when`` matches: cells whose values fit all of its keys.

A value is a scalar, a list of alternatives, text with ``*``, ``?`` and ``[...]`` for keys that hold text, or a
comparison such as ``">= 64"`` or ``"> 1e-4 and < 1e-2"`` for keys that hold numbers.  A mapping fits a ``model_args``
that has these entries, and a ``data`` that has these options.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from benchmark.config.data_keys import absolute
from benchmark.config.document import Document, Node
from benchmark.config.keys import odd_text
from benchmark.config.layer import GLOB, Layer, RunReader, lookup
from benchmark.config.problems import Mark, choose, shown
from benchmark.run import DataSpec, Run

_TEXT_KEYS = {each.name for each in fields(Run) if isinstance(each.default, str)} | {"model"}
_OPTIONS = {each.name: each.default for each in fields(DataSpec)}
_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "<": operator.lt, ">": operator.gt
}  # fmt: skip
_COMPARISON = re.compile(rf"({'|'.join(_OPERATORS)})\s*(\S+)")
_AND = re.compile(r"(?<=\S)\s+and\s+")  # the first space of several is enough to begin at


@dataclass(frozen=True)
class Comparison:
    """Operators with their numbers, all of which a number must satisfy; what is no number satisfies none."""

    terms: tuple[tuple[str, float], ...]

    def fits(self, value: Any) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and all(_OPERATORS[sign](value, limit) for sign, limit in self.terms)


@dataclass(frozen=True)
class Pattern:
    """Each key has alternatives, one of which has to fit; ``mark`` is where the pattern stands."""

    alternatives: Mapping[str, tuple[Any, ...]]
    mark: Mark

    def matches(self, layer: Layer) -> bool:
        """Whether a complete layer, defaults included, fits every key."""
        return all(_fits_any(lookup(layer, key), each) for key, each in self.alternatives.items())

    def fits(self, run: Run) -> bool:
        """Whether a run fits every key."""
        return all(_fits_any(getattr(run, key), each) for key, each in self.alternatives.items())


def read_pattern(node: Node, reader: RunReader) -> Pattern | None:
    """The pattern of a mapping; ``None`` after adding problems."""
    if not isinstance(node.value, dict) or not node.value:
        reader.problems.add(node.mark, f"this must name keys and values to match, not {shown(node.value)}")
        return None
    read = {key: _alternatives(key, child, node.key_mark(key), reader) for key, child in node.items()}
    alternatives = {key: each for key, each in read.items() if each is not None}
    return Pattern(alternatives, node.mark) if len(alternatives) == len(read) else None


def _alternatives(key: str, node: Node, at: Mark, reader: RunReader) -> tuple[Any, ...] | None:
    if not isinstance(node.value, list):
        one = _alternative(key, node, at, reader)
        return None if one is None else (one[0],)
    if not node.value:
        reader.problems.add(node.mark, f"{key} has an empty list, which matches nothing")
        return None
    found = [_alternative(key, each, at, reader) for each in node.elements()]
    return None if None in found else tuple(each[0] for each in found if each is not None)


def _alternative(key: str, node: Node, at: Mark, reader: RunReader) -> tuple[Any] | None:
    """One alternative, in a tuple because it may itself be null; ``None`` after adding a problem."""
    if odd := odd_text(key, node.value):
        reader.problems.add(node.mark, odd)
        return None
    if key == "data":
        return _data_alternative(node, reader)
    if key in _TEXT_KEYS and isinstance(node.value, str) and GLOB.search(node.value):
        return (_glob(node.value),)
    if reader.keys.number(key) and isinstance(node.value, str) and node.value.strip()[:1] in {"<", ">", "!"}:
        return _comparison(key, node, reader)
    given = reader.value(key, node, at)
    return None if given is None else (given.value,)


def _comparison(key: str, node: Node, reader: RunReader) -> tuple[Any] | None:
    terms = [_term(part) for part in _AND.split(node.value.strip())]
    if None in terms:
        example = "'>= 64' or '> 1 and <= 8'"
        reader.problems.add(node.mark, f"{key} is compared as in {example}, not {shown(node.value)}")
        return None
    return (Comparison(tuple(each for each in terms if each)),)


def _term(text: str) -> tuple[str, float] | None:
    """``>= 64`` as operator and number; ``None`` where it is none."""
    match = _COMPARISON.fullmatch(text)
    try:
        return (match[1], float(match[2])) if match else None
    except ValueError:
        return None


def read_model_pattern(name: str, at: Mark, reader: RunReader) -> Pattern | None:
    """What fits the models of this name, which may have ``*``, ``?`` and ``[...]``; ``None`` after a problem."""
    document = Document(at.path, {"model": name}, {(): at, ("model",): at}, {("model",): at})
    return read_pattern(document.root, reader)


def _data_alternative(node: Node, reader: RunReader) -> tuple[Any] | None:
    """Text fits a source or a label; a mapping fits options, text among them with globs."""
    if isinstance(node.value, str):
        return (_glob(node.value),)
    if not isinstance(node.value, dict) or not node.value:
        reader.problems.add(node.mark, f"data must be a name or a mapping of options, not {shown(node.value)}")
        return None
    unknown = [key for key in node.value if key not in _OPTIONS]
    for key in unknown:
        reader.problems.add(node.key_mark(key), f"unknown option of data {shown(key)}{choose(key, _OPTIONS)}")
    return (
        None if unknown else ({key: _option(key, value, reader.directory(node)) for key, value in node.value.items()},)
    )


def _option(key: str, value: Any, base: Path) -> Any:
    if not isinstance(value, str):
        return value
    return _glob(absolute(value, base) if key == "path" else value)


def _glob(text: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(text))


def _fits_any(value: Any, alternatives: tuple[Any, ...]) -> bool:
    return any(_fits(value, each) for each in alternatives)


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(value, DataSpec):
        return _fits_data(value, wanted)
    if isinstance(wanted, Comparison):
        return wanted.fits(value)
    if isinstance(wanted, re.Pattern):
        return isinstance(value, str) and wanted.match(value) is not None
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(k in value and _fits(value[k], each) for k, each in wanted.items())
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def _fits_data(spec: DataSpec, wanted: Any) -> bool:
    if isinstance(wanted, re.Pattern):
        return any(_fits(each, wanted) for each in (spec.source, spec.label))
    return all(_fits(getattr(spec, key), each) for key, each in wanted.items())
