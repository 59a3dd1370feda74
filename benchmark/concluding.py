"""The last words of a sweep, from its leaderboard, and its exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmark.errors import FAILED, INCOMPLETE, INTERRUPTED
from benchmark.journal import Outcome
from benchmark.run import Run

FEW = 5
"""Names in a line; more are counted."""


def best(document: Mapping[str, Any]) -> str:
    """Which row won on each data set, and which are tied with it, in a line each."""
    tables: dict[str, list[Mapping[str, Any]]] = {}
    for row in document["rows"]:
        if row["rank"] is not None:
            tables.setdefault(row["data_digest"], []).append(row)
    lines = [_best(rows, document["primary"], several=len(tables) > 1) for rows in tables.values()]
    return "\n".join(lines) or "no run has a result to rank"


def _best(ranked: Sequence[Mapping[str, Any]], primary: str, *, several: bool) -> str:
    first = ranked[0]
    tied = [row["label"] for row in ranked if row["versus_best"] and row["versus_best"]["tied"]]
    more = f" and {len(tied) - FEW} more" if len(tied) > FEW else ""
    also = f" (tied with it: {', '.join(tied[:FEW])}{more})" if tied else ""
    where = f" on {first['data']}" if several else ""
    return f"best{where}: {first['label']}, {primary} {first['metrics'][primary]['mean']:.4f}{also}"


def failures(runs: Iterable[Run], outcomes: Mapping[str, Outcome], command: Callable[..., str]) -> list[str]:
    """How to see why runs have failed, and to run them again; nothing where none has."""
    found = [(run, each.failure) for run in runs if (each := outcomes.get(run.run_id)) and each.failure]
    kinds = {failure.kind: run for run, failure in reversed(found) if failure.kind != "pruned"}
    if not kinds:
        return []
    kind, run = next(reversed(kinds.items()))
    again = command("run", "--retry", kind if len(kinds) == 1 else "all")
    return [f"why: {command('logs', run.run_id[:6])}", f"once more: {again}"]


def closing(total: int, failed: int, left: int, stopped: int, seconds: float) -> str:
    """``8 of 9 runs done, 1 failed · 42 s``."""
    parts = [f"{total - failed - left - stopped} of {total} runs done"]
    parts += [f"{failed} failed"] * bool(failed) + [f"{stopped} stopped by the search"] * bool(stopped)
    parts += [f"{left} left"] * bool(left)
    return f"{', '.join(parts)} · {seconds:.0f} s"


def sweep_code(*, interrupted: bool, undone: bool, failed: int) -> int:
    """``undone``: not all that was to be run has run; what was not asked for does not count."""
    if interrupted and undone:
        return INTERRUPTED
    return INCOMPLETE if undone else FAILED if failed else 0
