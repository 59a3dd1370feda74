"""Which exit code an error stands for."""

from __future__ import annotations

import errno

from benchmark.visible import visible

CODES = {
    "benchmark.config.problems:ConfigError": 2,
    "benchmark.data.datacache:DataError": 2,
    "launch:ModeError": 2,
    "benchmark.preparing:UsageProblem": 2,
    "benchmark.exporting:ExportFailed": 1,
    "benchmark.exporting:LibraryMissing": 3,
    "reports.recorded:BadLeaderboard": 2,
    "launch:Unavailable": 3,
    "benchmark.installed:WrongPackage": 3,
    "benchmark.catalogue:CatalogueError": 3,
    "benchmark.plugins:PluginError": 3,
    "benchmark.lock:Busy": 3,
    "benchmark.journal_file:JournalError": 3,
    "benchmark.mlflow_store:TrackingError": 3,
    "benchmark.rundir:BrokenFile": 3,
    "sqlite3:Error": 3,
    "builtins:OSError": 3,
}
"""Where an exception is defined -> exit code; names, so that no command imports what it does not need."""


def message(error: BaseException) -> str:
    """What a user is told of an expected error."""
    text = str(error) or type(error).__name__
    full = "disk is full" in text or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    return visible(f"{text}: free some space and run again; nothing that is done is lost" if full else text)


def exit_code(error: BaseException) -> int | None:
    """The exit code of an expected error, ``None`` for one that is a mistake in the program."""
    names = (f"{kind.__module__}:{kind.__name__}" for kind in type(error).__mro__)
    return next((CODES[name] for name in names if name in CODES), None)
