"""What is wrong with an experiment, and where: the words of every configuration error.

Problems are collected and raised together as one :class:`ConfigError`, so that a user mends a file once.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from benchmark.visible import one_line

SHORT = 12
"""So many allowed values are listed even where one of them is near to what was written."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error.  ``line`` and ``column`` count from 1; ``None`` where the place is no text (a missing file, --set)."""

    path: str
    line: int | None
    column: int | None
    message: str

    def __str__(self) -> str:
        place = [self.path, *(str(each) for each in (self.line, self.column) if each is not None)]
        return one_line(f"{':'.join(place)}: {self.message}")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a value stands: a file with line and column, or an option such as ``--set lr=0.1`` without them."""

    path: str
    line: int | None = None
    column: int | None = None

    def problem(self, message: str) -> Problem:
        return Problem(self.path, self.line, self.column, message)


class ConfigError(Exception):
    """Everything that is wrong, one line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(each) for each in self.problems))


class Problems:
    """Collects problems, each once.  Very many end the reading, since to look for a near word takes time for each."""

    LIMIT = 100

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    @property
    def found(self) -> tuple[Problem, ...]:
        return tuple(self._found)

    def add(self, mark: Mark, message: str) -> None:
        self.extend([mark.problem(message)])

    def extend(self, problems: Iterable[Problem]) -> None:
        """
        Raises:
            ConfigError: there are more than can be told.
        """
        self._found.update(dict.fromkeys(problems))
        if len(self._found) > self.LIMIT:
            self.check()

    def check(self) -> None:
        """Raises what was found, in the order of the text.

        Raises:
            ConfigError: there is at least one problem.
        """
        if self._found:
            ordered = sorted(self._found, key=lambda each: (each.path, each.line or 0, each.column or 0))
            more = [Problem(ordered[0].path, None, None, "and more problems; mend these first")]
            raise ConfigError([*ordered[: self.LIMIT], *(more if len(ordered) > self.LIMIT else [])])


def choose(word: object, words: Collection[str]) -> str:
    """The end of a message about an unknown word: the allowed words, where they are few or none is near, and the
    nearest."""
    guess = nearest(word, words)
    listed = len(words) <= SHORT or (not guess and len(words) <= 5 * SHORT)
    return (f"; allowed: {', '.join(words)}" if listed else "") + guess


def nearest(word: object, words: Collection[str]) -> str:
    """``; did you mean 'resnet50'?``, or nothing where no word is near."""
    near = difflib.get_close_matches(str(word), words, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def shown(value: Any) -> str:
    """A value as a message shows it, cut where long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
