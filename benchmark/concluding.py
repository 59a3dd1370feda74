"""The last words of a sweep, from its leaderboard, and its exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ENVIRONMENT = 3
"""The exit code where the machine is in the way."""
FEW = 5
"""Names in a line; more are counted."""


def best(document: Mapping[str, Any]) -> str:
    """Which row won, and which are tied with it."""
    ranked = [row for row in document["rows"] if row["rank"] is not None]
    if not ranked:
        return "no run has a result to rank"
    first, primary = ranked[0], document["primary"]
    beside = [row for row in ranked if row["data_digest"] == first["data_digest"] and row["versus_best"]]
    tied = [row["label"] for row in beside if row["versus_best"]["tied"]]
    more = f" and {len(tied) - FEW} more" if len(tied) > FEW else ""
    also = f" (tied with it: {', '.join(tied[:FEW])}{more})" if tied else ""
    return f"best: {first['label']}, {primary} {first['metrics'][primary]['mean']:.4f}{also}"


def closing(total: int, failed: int, left: int, stopped: int, seconds: float) -> str:
    """``8 of 9 runs done, 1 failed · 42 s``."""
    parts = [f"{total - failed - left - stopped} of {total} runs done"]
    parts += [f"{failed} failed"] * bool(failed) + [f"{stopped} stopped by the search"] * bool(stopped)
    parts += [f"{left} left"] * bool(left)
    return f"{', '.join(parts)} · {seconds:.0f} s"


def sweep_code(*, interrupted: bool, undone: bool, failed: int) -> int:
    """``undone``: not all that was to be run has run; what was not asked for does not count."""
    if interrupted and undone:
        return 130
    return 4 if undone else 1 if failed else 0
