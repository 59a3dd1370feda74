"""Cases of a test of which some are tried with each commit, and the others by `make nightly`."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def by_day(some: Callable[[Any], bool], cases: Iterable[Any]) -> list[Any]:
    """The cases as arguments of a test, all but ``some`` of them for the night."""
    return [case if some(case) else _later(case) for case in cases]


def _later(case: Any) -> Any:
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.nightly)
