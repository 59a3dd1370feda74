"""Several arrays one after the other, seen as one, without a copy of them in memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]


class Joined:
    """uint8 arrays of the same shape but for their length, in memory or mapped from files.

    What is looked up is copied; what is not stays where it is.
    """

    def __init__(self, parts: Sequence[Bytes]) -> None:
        """
        Raises:
            ValueError: the parts are not of one shape.
        """
        if len({part.shape[1:] for part in parts}) != 1:
            raise ValueError(f"images of several shapes: {', '.join(str(part.shape[1:]) for part in parts)}")
        self._parts = tuple(parts)
        self._ends = np.array(list(accumulate(map(len, parts))), dtype=np.intp)
        self.shape: tuple[int, ...] = (int(self._ends[-1]), *parts[0].shape[1:])

    dtype, ndim = np.dtype(np.uint8), property(lambda self: len(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: int | slice | Places) -> Bytes:
        """The rows at some places, uint8 (n, ...), or one row."""
        if isinstance(which, slice):
            return self[np.arange(len(self), dtype=np.intp)[which]]
        if isinstance(which, int | np.integer):
            row: Bytes = self._rows(np.array([which], dtype=np.intp))[0]
            return row
        return self._rows(which)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[np.generic]:
        return np.asarray(self[:], dtype=dtype)

    def _rows(self, places: Places) -> Bytes:
        found = np.empty((len(places), *self.shape[1:]), dtype=np.uint8)
        owners = np.searchsorted(self._ends, places, side="right")
        for owner in np.unique(owners).tolist():
            mine, start = owners == owner, int(self._ends[owner]) - len(self._parts[owner])
            found[mine] = self._parts[owner][places[mine] - start]
        return found
