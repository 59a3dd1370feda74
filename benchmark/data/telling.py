"""How far something is that takes a while, such as the reading of images, for whoever shows it:
``with told(show): inspect(spec, cache)``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Tell = Callable[[str, int, int], None]
"""Takes what is done, and how many of how many are."""

_TELL: ContextVar[Tell | None] = ContextVar("tell", default=None)


@contextmanager
def told(teller: Tell) -> Iterator[None]:
    """What is counted in this block is told."""
    token = _TELL.set(teller)
    try:
        yield
    finally:
        _TELL.reset(token)


def counted(items: Iterable[T], total: int, what: str, each: int = 1) -> Iterator[T]:
    """``items``, counted as they come; each stands for ``each`` of ``total``, the last for what is left."""
    for number, item in enumerate(items, start=1):
        tell(what, min(number * each, total), total)
        yield item


def tell(what: str, done: int, total: int) -> None:
    """Tells whoever shows it, if anybody does."""
    if teller := _TELL.get():
        teller(what, done, total)
