"""What goes wrong in a rehearsal: by chance with a seed, or by script.

Everything that is counted ("the n-th") counts from the moment when the faults were set, from 1.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeVar

T = TypeVar("T")
After = float | Literal["checkpoint"]


@dataclass(frozen=True)
class Error:
    """``times`` calls of an operation, from the ``nth``, are answered with an error, and not carried out; 0: all.

    The operation is AWS's name, of any service: ``CreateTrainingJob``, ``PutObject``; ``*`` is every one.  The code
    ``ConnectionReset`` closes the connection instead of answering.
    """

    operation: str
    code: str = "ThrottlingException"
    nth: int = 1
    times: int = 1


@dataclass(frozen=True)
class Lost:
    """The ``nth`` call of an operation is carried out, and the connection closed without an answer."""

    operation: str
    nth: int = 1


@dataclass(frozen=True)
class Interrupt:
    """A spot job whose name fits the glob loses its instances; new ones are found ``wait`` seconds later.

    That is ``after`` so many seconds of training, or after the first file that this attempt has mirrored
    (``checkpoint``).  Each entry hits a job once: two entries interrupt it twice.
    """

    job: str = "*"
    after: After = "checkpoint"
    wait: float = 0.0


@dataclass(frozen=True)
class Faults:
    """All faults of a rehearsal; by default there are none.

    Attributes:
        seed: of the shares that follow; which jobs they hit depends on their names alone.
        throttle: the share of calls to SageMaker that are answered ``ThrottlingException``.
        spot: the share of spot jobs that are interrupted once, ``spot_after`` as in :class:`Interrupt`.
        capacity: the share of jobs that fail for want of capacity.
        capacity_jobs: so do these, by their number of creation.
        quota: the most instances of a type at a time; a type that is not named has no limit.
        expired: whether the caller's credentials have expired.
    """

    seed: int = 0
    throttle: float = 0.0
    spot: float = 0.0
    spot_after: After = "checkpoint"
    capacity: float = 0.0
    capacity_jobs: tuple[int, ...] = ()
    errors: tuple[Error, ...] = ()
    lost: tuple[Lost, ...] = ()
    interrupt: tuple[Interrupt, ...] = ()
    quota: Mapping[str, int] = field(default_factory=dict)
    expired: bool = False

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what :meth:`to_json` wrote, or a person; keys that are left out keep their defaults.

        Raises:
            ValueError: it is no JSON object, or has unknown keys.
        """
        found = _object(json.loads(text))
        for key, kind in (("errors", Error), ("lost", Lost), ("interrupt", Interrupt)):
            found[key] = tuple(_made(kind, _object(each)) for each in found.get(key, ()))
        return _made(cls, {**found, "capacity_jobs": tuple(found.get("capacity_jobs", ()))})


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"faults: an object is expected instead of {value!r}")
    return value


def _made(kind: type[T], found: Mapping[str, Any]) -> T:
    names = {each.name for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(found) - names):
        raise ValueError(f"faults: {', '.join(unknown)}: unknown; there are {', '.join(sorted(names))}")
    try:
        return kind(**found)
    except TypeError as error:
        raise ValueError(f"faults: {error}") from None
