"""Where the numbers come from: what the runs' environments have in common, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence

from reports.leaderboard import Entry

SHOWN = 4
"""Differing values that are named."""


def environment(entries: Sequence[Entry]) -> dict[str, str]:
    """``runs on``: what all finished runs share, as ``key value``; ``runs differ in``: every other key's values."""
    found: dict[str, dict[str, None]] = {}
    for entry in entries:
        for key, value in (entry.result.environment if entry.result else {}).items():
            found.setdefault(key, {})[str(value)] = None
    same = [f"{key} {next(iter(values))}" for key, values in found.items() if len(values) == 1]
    other = [f"{key} {_some(list(values))}" for key, values in found.items() if len(values) > 1]
    return {"runs on": ", ".join(same), "⚠ runs differ in": ", ".join(other)}


def seeds(entries: Sequence[Entry]) -> str:
    """Every planned seed once, in order."""
    return ", ".join(str(seed) for seed in sorted({entry.run.seed for entry in entries}))


def logs_command(command: str, run_id: str) -> str:
    """What to type to see a run's log, after the command that started it; empty where that is not known."""
    before, found, after = f"{command} ".partition(" run ")
    return f"{before} logs {run_id[:6]} {after}".rstrip() if found else ""


def _some(values: Sequence[str]) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return " / ".join(values[:SHOWN]) + more
