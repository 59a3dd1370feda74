"""Quality against speed, size and cost: who is beaten in everything, and what is the best within limits.

Speed and cost are compared only between runs of the same device and batch: :func:`tradeoffs` compares within each such
group, and says which groups there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Tradeoffs:
    """Of one table.  ``objectives`` are the metrics compared, the primary first; ``front`` the configuration ids that
    no other beats in all of them; ``dominated_by`` maps each other id to one of the front that beats it; ``groups``
    maps what speed was measured on, in words -> the ids measured so (one group where all are alike)."""

    objectives: tuple[str, ...] = ()
    front: tuple[str, ...] = ()
    dominated_by: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
