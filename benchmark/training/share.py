"""Which images of a batch, or of a split, are whose where several processes work on them together."""

from __future__ import annotations

from dataclasses import dataclass

LEAST = 2
"""Images that a process looks at in any batch that has them, since batch normalisation cannot be trained with one."""


@dataclass(frozen=True)
class Share:
    """One process's part of ``whole`` images.

    ``own`` are its images: the parts of all processes are one after the other, and as large as each other to within
    one.  ``seen`` are those that it looks at in training: its own, and where these are fewer than two (in a last, small
    batch) neighbours beside them, which do not count.
    """

    whole: int
    own: slice
    seen: slice

    @classmethod
    def of(cls, whole: int, rank: int, size: int) -> Share:
        """The part of process ``rank`` (from 0) among ``size``."""
        start, stop = whole * rank // size, whole * (rank + 1) // size
        first = max(0, min(start, whole - LEAST))
        return cls(whole, slice(start, stop), slice(first, max(stop, min(whole, first + LEAST))))

    @property
    def counting(self) -> slice:
        """Where the own images are among those seen."""
        return slice(self.own.start - self.seen.start, self.own.stop - self.seen.start)
