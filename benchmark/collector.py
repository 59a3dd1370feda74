"""Python's garbage collector held off, where thousands of values are made that stay: looking through them all again
and again takes a fifth of the time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = 50_000
"""New objects, without those that went, before the youngest are looked through; Python's own is 700."""


def seldom() -> None:
    """From now on, for a program that imports large libraries."""
    gc.set_threshold(SELDOM)


@contextmanager
def paused() -> Iterator[None]:
    """No collection within; afterwards as before."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
