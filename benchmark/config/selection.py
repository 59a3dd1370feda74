"""``--only KEY=VALUE``: some of an experiment's runs, by the same patterns as ``exclude`` and ``when``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.config import yaml_text
from benchmark.config.document import Document
from benchmark.config.layer import RunReader, run_reader
from benchmark.config.pattern import Pattern, read_pattern
from benchmark.config.problems import ConfigError, Mark, Problems
from benchmark.run import Run

PATTERNS = "*<>!"
"""What begins with one of these is a pattern, and would mean something else in YAML."""


@dataclass(frozen=True)
class Selection:
    """Runs that fit every pattern; without any, all."""

    patterns: tuple[Pattern, ...] = ()

    def __contains__(self, run: Run) -> bool:
        return all(each.fits(run) for each in self.patterns)


def selection(texts: Sequence[str]) -> Selection:
    """The selection of ``key=value`` texts; a value may be a list: ``model=[resnet*, vit_*]``.

    Raises:
        ConfigError: a text is none, or names a key or a value that cannot be.
    """
    problems = Problems()
    reader = run_reader(None, problems, base=Path.cwd())
    found = [each for text in texts if (each := _pattern(text, reader))]
    problems.check()
    return Selection(tuple(found))


def _pattern(text: str, reader: RunReader) -> Pattern | None:
    option = Mark(f"--only {text}")
    key, equals, value = (each.strip() for each in text.partition("="))
    if not equals or not value:
        reader.problems.add(option, "write key=value, for example model=resnet* or 'lr=>= 1e-3'")
        return None
    try:
        read = value if value[0] in PATTERNS else yaml_text.parse(value, option.path).value
    except ConfigError as error:
        reader.problems.extend(option.problem(each.message) for each in error.problems)
        return None
    return read_pattern(Document(option.path, {key: read}).root, reader)
