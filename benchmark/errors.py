"""Which exit code an error stands for."""

from __future__ import annotations

from benchmark.durable import FULL
from benchmark.visible import visible

FAILED, CONFIGURATION, ENVIRONMENT, INCOMPLETE, INTERRUPTED = 1, 2, 3, 4, 130
"""Exit codes: some runs failed; the configuration is wrong, or the machine is in the way; not all has run; Ctrl-C."""
CODES = {
    "benchmark.config.problems:ConfigError": CONFIGURATION,
    "benchmark.data.datacache:DataError": CONFIGURATION,
    "launch:ModeError": CONFIGURATION,
    "benchmark.preparing:UsageProblem": CONFIGURATION,
    "benchmark.exporting:ExportFailed": FAILED,
    "benchmark.exporting:LibraryMissing": ENVIRONMENT,
    "reports.recorded:BadLeaderboard": CONFIGURATION,
    "launch:Unavailable": ENVIRONMENT,
    "benchmark.installed:WrongPackage": ENVIRONMENT,
    "benchmark.catalogue:CatalogueError": ENVIRONMENT,
    "benchmark.plugins:PluginError": ENVIRONMENT,
    "benchmark.lock:Busy": ENVIRONMENT,
    "benchmark.journal_file:JournalError": ENVIRONMENT,
    "benchmark.mlflow_store:TrackingError": ENVIRONMENT,
    "benchmark.rundir:BrokenFile": ENVIRONMENT,
    "sqlite3:Error": ENVIRONMENT,
    "builtins:OSError": ENVIRONMENT,
}
"""Where an exception is defined -> exit code; names, so that no command imports what it does not need."""


def message(error: BaseException) -> str:
    """What a user is told of an expected error."""
    text = str(error) or type(error).__name__
    full = "disk is full" in text or getattr(error, "errno", None) in FULL
    return visible(f"{text}: free some space and run again; nothing that is done is lost" if full else text)


def exit_code(error: BaseException) -> int | None:
    """The exit code of an expected error, ``None`` for one that is a mistake in the program."""
    names = (f"{kind.__module__}:{kind.__name__}" for kind in type(error).__mro__)
    return next((CODES[name] for name in names if name in CODES), None)
