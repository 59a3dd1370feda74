"""YAML text -> plain values, with the line and column of each.

The language is YAML's core schema of version 1.2: ``1e-3`` is a float, ``no`` and ``on`` are text, ``010`` is ten.
Refused, because they hide mistakes or grow without bound: anchors, aliases, merges (``<<``), duplicate keys, keys that
are not text, tags outside the core schema, several documents, more than 256 KiB or 20,000 values, nesting deeper than
32, whole numbers of more than 64 bits, and text that no file name or report can hold (U+0000, lone surrogates).

PyYAML's pure-Python parser gives the events (the C parser crashes on deep nesting); values are made here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from benchmark.config.document import Document, KeyPath
from benchmark.config.problems import ConfigError, Mark, Problems, shown

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_VALUES = 20_000
MAX_BITS = 64

_NULL = re.compile(r"(null|Null|NULL|~|)\Z")
_BOOL = re.compile(r"(true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
_TAG = "tag:yaml.org,2002:"
_BASES = {"0o": 8, "0x": 16}


def parse(text: str | bytes, path: str) -> Document:
    """The values of one YAML document; ``path`` is what errors call the file.  Empty text is ``None``.

    Raises:
        ConfigError: every problem that was found, with its place; a broken syntax ends the search.
    """
    problems = Problems()
    builder = _Builder(path, problems)
    try:
        value = builder.document(_decoded(text, path))
    except yaml.MarkedYAMLError as error:
        problems.add(_mark(path, error.problem_mark or error.context_mark), _syntax(error))
    except ConfigError as error:
        problems.extend(error.problems)
    except Exception as error:  # for some broken texts PyYAML raises AttributeError, IndexError or ValueError
        problems.add(builder.place, f"this is not YAML ({type(error).__name__} near here)")
    problems.check()
    return Document(path, value, builder.marks, builder.keys)


class _Builder:
    """Makes values from events; recursion is bounded by ``MAX_DEPTH``."""

    def __init__(self, path: str, problems: Problems) -> None:
        self.path, self.problems = path, problems
        self.marks: dict[KeyPath, Mark] = {}
        self.keys: dict[KeyPath, Mark] = {}
        self.place = Mark(path, 1, 1)
        self.events: Iterator[yaml.Event] = iter(())

    def document(self, text: str) -> Any:
        self.events = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self.next()  # start of the stream
        if isinstance(self.next(), yaml.StreamEndEvent):
            return None
        value = self.value(self.next(), ())
        self.next()  # end of the document
        if not isinstance(self.next(), yaml.StreamEndEvent):
            self.problems.add(self.place, "a second document begins here; write one document per file")
        return value

    def next(self) -> yaml.Event:
        event = next(self.events)
        self.place = _mark(self.path, event.start_mark)
        return event

    def value(self, event: yaml.Event, path: KeyPath) -> Any:
        self.marks[path] = self.place
        if len(self.marks) > MAX_VALUES:
            raise ConfigError([self.place.problem(f"more than {MAX_VALUES:,} values; write ranges, or several files")])
        if isinstance(event, yaml.CollectionStartEvent) and len(path) >= MAX_DEPTH:
            raise ConfigError([self.place.problem(f"nested deeper than {MAX_DEPTH} levels")])
        if isinstance(event, yaml.AliasEvent):
            self.problems.add(self.place, "aliases (*) are not supported; write the value out")
            return None
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self.problems.add(self.place, f"anchors (&{event.anchor}) are not supported; write the value out")
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event)
        self.check_collection(event)
        return self.mapping(path) if isinstance(event, yaml.MappingStartEvent) else self.sequence(path)

    def check_collection(self, event: yaml.Event) -> None:
        own = f"{_TAG}map" if isinstance(event, yaml.MappingStartEvent) else f"{_TAG}seq"
        tag = getattr(event, "tag", None)
        if tag not in {None, own}:
            self.problems.add(self.place, f"the tag {shown(tag)} is not supported; leave it out")

    def sequence(self, path: KeyPath) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            values.append(self.value(event, (*path, len(values))))
        return values

    def mapping(self, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            mark = self.place
            key = self.key(event, path)
            if key in values:
                self.problems.add(mark, f"duplicate key {shown(key)}; it stands already in line {self.line(path, key)}")
            self.keys.setdefault((*path, key), mark)
            value = self.value(self.next(), (*path, key))
            values.setdefault(key, value)
        return values

    def line(self, path: KeyPath, key: str) -> int | None:
        return self.keys[*path, key].line

    def key(self, event: yaml.Event, path: KeyPath) -> str:
        mark = self.place
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
            self.problems.add(mark, "merges (<<) are not supported; write the keys out")
            return "<<"
        value = self.value(event, (*path, ""))
        if not isinstance(value, str):
            self.problems.add(mark, "a key must be text; put it in quotes")
        return str(value)

    def scalar(self, event: yaml.ScalarEvent) -> Any:
        tag = event.tag or (_implicit(event.value) if event.implicit[0] else f"{_TAG}str")
        construct = _CONSTRUCTORS.get(tag)
        if construct is None:
            self.problems.add(self.place, f"the tag {shown(tag)} is not supported; leave it out")
            return None
        if bad := _UNWRITABLE.search(event.value):
            self.problems.add(self.place, f"U+{ord(bad.group()):04X} can stand in no text; leave it out")
            return None
        try:
            return construct(event.value)
        except ValueError:
            self.problems.add(self.place, f"{shown(event.value)} cannot be read as {tag.removeprefix(_TAG)}")
            return None


def _decoded(text: str | bytes, path: str) -> str:
    size = len(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        raise ConfigError([Mark(path).problem(f"longer than {MAX_BYTES // 1024} KiB")])
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mark = _position(path, error.object[: error.start].decode(errors="replace"))
        raise ConfigError([mark.problem("this byte is not UTF-8; save the file as UTF-8")]) from None
    bad = yaml.reader.Reader.NON_PRINTABLE.search(decoded)
    if bad:
        mark = _position(path, decoded[: bad.start()])
        raise ConfigError([mark.problem(f"control character U+{ord(bad.group()):04X}; write it as an escape")])
    return decoded


def _position(path: str, before: str) -> Mark:
    """The place that follows the text ``before``."""
    return Mark(path, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _mark(path: str, mark: Any) -> Mark:
    return Mark(path) if mark is None else Mark(path, mark.line + 1, mark.column + 1)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    parts = [each for each in (error.context, error.problem) if each]
    tab = "; indent with spaces, not tabs" if "'\\t'" in (error.problem or "") else ""
    return f"this is not YAML: {', '.join(parts)}{tab}"


def _implicit(text: str) -> str:
    kinds = (("null", _NULL), ("bool", _BOOL), ("int", _INT), ("float", _FLOAT))
    return _TAG + next((kind for kind, pattern in kinds if pattern.match(text)), "str")


def _null(text: str) -> None:
    if not _NULL.match(text):
        raise ValueError(text)


def _bool(text: str) -> bool:
    if not _BOOL.match(text):
        raise ValueError(text)
    return text.lower() == "true"


def _int(text: str) -> int:
    if not _INT.match(text):
        raise ValueError(text)
    value = int(text, _BASES.get(text[:2], 10))
    if value.bit_length() > MAX_BITS:
        raise ValueError(text)
    return value


def _float(text: str) -> float:
    if not _FLOAT.match(text):
        raise ValueError(text)
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_CONSTRUCTORS: Mapping[str, Callable[[str], Any]] = {
    f"{_TAG}null": _null,
    f"{_TAG}bool": _bool,
    f"{_TAG}int": _int,
    f"{_TAG}float": _float,
    f"{_TAG}str": str,
}
