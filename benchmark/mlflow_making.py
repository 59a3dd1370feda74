"""Making a SQLite store of MLflow, once for each directory; MLflow is not imported.

Two processes that open a fresh store at once break its migrations, and one killed meanwhile leaves half a store; so a
new one is made under another name and appears whole.  MLflow's migrations take seconds: they are made once for each
version of it, in a process of their own, and what comes of them, an empty store, is kept in the cache and copied.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmark.data.datacache import cache_directory, locked

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # with the default of 7, a call to a dead server takes four minutes
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""What is set before MLflow is imported, unless the user has set it."""
_INITIALISE = "from mlflow import MlflowClient; MlflowClient('sqlite:///mlflow.db').search_experiments(max_results=1)"
_SECONDS = 300
_PLACE = "UPDATE experiments SET artifact_location = ?, creation_time = ?, last_update_time = ? WHERE experiment_id = 0"
"""MLflow's own experiment, "Default", is all that an empty store has."""


class MakingError(Exception):
    """MLflow could not make a store; the message is its own."""


def make(path: Path) -> None:
    """Makes the store ``path``, in WAL mode; where another process is faster, that one's is left.

    Raises:
        MakingError, DataError, OSError, subprocess.SubprocessError, sqlite3.DatabaseError: why it cannot be made.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlflow-") as scratch:
        new = Path(scratch) / path.name
        shutil.copyfile(_empty(), new)
        now = time.time_ns() // 1_000_000
        with closing(sqlite3.connect(new)) as database, database:
            database.execute(_PLACE, (str(path.parent.absolute() / "mlruns" / "0"), now, now))
        use_wal(new)
        _appear(new, path)


def use_wal(path: Path) -> None:
    """Write-ahead logging, so that the web page reads while runs are written; the file keeps the setting."""
    with closing(sqlite3.connect(path, timeout=5)) as database:
        (mode,) = database.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            database.execute("PRAGMA journal_mode=WAL")


def _empty() -> Path:
    """An empty store of the MLflow that is installed."""
    cache = cache_directory()
    kept = cache / "mlflow" / f"{importlib.metadata.version('mlflow')}.db"
    with locked(cache, "mlflow"):
        if not _is_whole(kept):
            kept.parent.mkdir(exist_ok=True)
            _initialise(kept)
    return kept


def _is_whole(store: Path) -> bool:
    if not store.exists():
        return False
    try:
        with closing(sqlite3.connect(store)) as database:
            return bool(database.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except sqlite3.DatabaseError:
        return False


def _initialise(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".making-") as scratch:
        command = [sys.executable, "-P", "-W", "ignore", "-c", _INITIALISE]
        done = subprocess.run(
            command, cwd=scratch, env={**ENVIRONMENT, **os.environ}, capture_output=True, text=True, timeout=_SECONDS
        )
        if done.returncode:
            raise MakingError(done.stderr[-2000:])
        (Path(scratch) / "mlflow.db").replace(path)


def _appear(new: Path, path: Path) -> None:
    """Gives ``new`` the name ``path`` unless another process was faster: then that one's store is used."""
    try:
        os.link(new, path)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not path.exists():
            new.rename(path)
