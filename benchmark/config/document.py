"""A parsed document whose values know where they stand, so that every later error can say its line and column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmark.config.problems import Mark

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """``value`` is made of dict (keys are text), list, str, int, float, bool and None.  ``marks`` has the place of each
    value, ``keys`` that of the key before it, by their path from the root: ``("matrix", "lr", 0)``."""

    path: str
    value: Any
    marks: Mapping[KeyPath, Mark] = field(default_factory=dict)
    keys: Mapping[KeyPath, Mark] = field(default_factory=dict)

    @property
    def root(self) -> Node:
        return Node(self, (), self.value)


@dataclass(frozen=True)
class Node:
    """A value inside a document, which knows where it stands."""

    document: Document
    path: KeyPath
    value: Any

    @property
    def mark(self) -> Mark:
        return self.document.marks.get(self.path) or Mark(self.document.path)

    def key_mark(self, key: str) -> Mark:
        """The place of a key of this mapping."""
        return self.document.keys.get((*self.path, key)) or self.mark

    def child(self, key: str | int) -> Node:
        return Node(self.document, (*self.path, key), self.value[key])

    def get(self, key: str) -> Node | None:
        """The value of a key; ``None`` where the key is missing or this is no mapping."""
        return self.child(key) if isinstance(self.value, dict) and key in self.value else None

    def items(self) -> Iterator[tuple[str, Node]]:
        """Keys and values of a mapping."""
        return ((key, self.child(key)) for key in self.value)

    def elements(self) -> Iterator[Node]:
        """Values of a list."""
        return (self.child(index) for index in range(len(self.value)))
