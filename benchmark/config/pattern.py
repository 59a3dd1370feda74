"""What an ``exclude`` or a ``when`` matches: cells whose values fit all of its keys.

A value is a scalar, a list of alternatives, or text with ``*``, ``?`` and ``[...]`` for keys that hold text.  A mapping
fits a ``model_args`` that has these entries, and a ``data`` that has these options.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from benchmark.config.data_keys import absolute
from benchmark.config.document import Node
from benchmark.config.layer import GLOB, Layer, RunReader, lookup
from benchmark.config.problems import Mark, choose, shown
from benchmark.run import DataSpec, Run

_TEXT_KEYS = {each.name for each in fields(Run) if isinstance(each.default, str)} | {"model"}
_OPTIONS = {each.name: each.default for each in fields(DataSpec)}


@dataclass(frozen=True)
class Pattern:
    """Each key has alternatives, one of which has to fit; ``mark`` is where the pattern stands."""

    alternatives: Mapping[str, tuple[Any, ...]]
    mark: Mark

    def matches(self, layer: Layer) -> bool:
        """Whether a complete layer, defaults included, fits every key."""
        return all(_fits_any(lookup(layer, key), each) for key, each in self.alternatives.items())


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
    if key == "data":
        return _data_alternative(node, reader)
    if key in _TEXT_KEYS and isinstance(node.value, str) and GLOB.search(node.value):
        return (_glob(node.value),)
    given = reader.value(key, node, at)
    return None if given is None else (given.value,)


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
    return None if unknown else ({key: _option(key, value, reader) for key, value in node.value.items()},)


def _option(key: str, value: Any, reader: RunReader) -> Any:
    if not isinstance(value, str):
        return value
    return _glob(absolute(value, reader.base) if key == "path" else value)


def _glob(text: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(text))


def _fits_any(value: Any, alternatives: tuple[Any, ...]) -> bool:
    return any(_fits(value, each) for each in alternatives)


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(value, DataSpec):
        return _fits_data(value, wanted)
    if isinstance(wanted, re.Pattern):
        return isinstance(value, str) and wanted.match(value) is not None
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(k in value and _fits(value[k], each) for k, each in wanted.items())
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def _fits_data(spec: DataSpec, wanted: Any) -> bool:
    if isinstance(wanted, re.Pattern):
        return any(_fits(each, wanted) for each in (spec.source, spec.label))
    return all(_fits(getattr(spec, key), each) for key, each in wanted.items())
