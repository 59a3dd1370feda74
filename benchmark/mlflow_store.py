"""Where MLflow keeps its data: the tracking address, how it may be shown, and making that place ready.

Pure Python, without importing MLflow.
"""

from __future__ import annotations

import getpass
import logging
import os
import re
import sqlite3
import ssl
import subprocess
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import urlopen

from benchmark.data.datacache import DataError
from benchmark.mlflow_making import MakingError, make, use_wal

FILE_NAME = "mlflow.db"
FREE = "free some space where MLflow keeps its data"
HELD = "another program holds it: end that one, or wait"


class TrackingError(Exception):
    """MLflow did not take what was to be published.  The run directories still hold it, so it can be tried again."""


class RunTrackingError(TrackingError):
    """One run cannot be published as its directory is now; the others can."""


def default_uri(directory: Path, settings_uri: str | None) -> str:
    """The tracking address: the YAML's, else ``MLFLOW_TRACKING_URI``, else ``mlflow.db`` in ``directory``."""
    return settings_uri or os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(directory.absolute() / FILE_NAME)


def serve_command(uri: str, directory: Path) -> str:
    """The command that shows what is at ``uri`` to somebody in ``directory``; empty where a server is already up."""
    path = sqlite_path(uri)
    if path is None:
        return ""
    if path.absolute() == directory.absolute() / FILE_NAME:
        return "mlflow ui"
    return f"mlflow ui --backend-store-uri '{sqlite_uri(path.absolute())}'"


def is_managed(uri: str) -> bool:
    """Whether it is an MLflow that SageMaker manages, named by its ARN."""
    return uri.startswith("arn:")


def view_words(uri: str, directory: Path, link: str) -> str:
    """How to come to ``link``, a place in MLflow's pages, from ``directory``."""
    if is_managed(uri):
        kind, name = uri.rpartition(":")[2].split("/", 1)
        option = f"--tracking-server-name {name}" if kind == "mlflow-tracking-server" else f"--arn {uri}"
        return f"`aws sagemaker create-presigned-{kind}-url {option}` opens MLflow, then {link}"
    command = serve_command(uri, directory)
    if command:
        return f"`{command}`, then http://127.0.0.1:5000/{link}"
    return f"{redact(uri).rstrip('/')}/{link}"


def sqlite_uri(path: Path) -> str:
    """The address of a SQLite store; only what would end a path in an address is escaped."""
    return "sqlite:///" + str(path).replace("%", "%25").replace("?", "%3F")


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite store, or ``None`` for any other kind."""
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(?:\?.*)?", uri)
    return Path(unquote(match[1])) if match else None


def answers(uri: str, seconds: float = 5.0) -> bool:
    """Whether the store at ``uri`` can be asked: a quick look, where MLflow's client waits and tries again for minutes.

    Of a server anything but silence and its own error will do: whether it takes us is for MLflow's client to find out.
    A file does not answer while another program holds it.
    """
    if path := sqlite_path(uri):
        return not path.exists() or _is_free(path, seconds)
    address = urlsplit(uri)
    if address.scheme not in ("http", "https"):
        return True
    host = address.netloc.rpartition("@")[2]
    page = urlunsplit((address.scheme, host, address.path.rstrip("/") + "/health", "", ""))
    try:
        with urlopen(page, timeout=seconds):  # noqa: S310  (http or https, as was just seen)
            return True
    except HTTPError as error:
        error.close()
        return error.code < 500
    except URLError as error:
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, HTTPException):
        return False


def _is_free(path: Path, seconds: float) -> bool:
    """Whether something can be written into the SQLite file soon; what else is wrong with it MLflow's client tells."""
    try:
        with closing(sqlite3.connect(path, timeout=seconds, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        return "locked" not in str(error)
    except sqlite3.Error:
        return True
    return True


def redact(text: str) -> str:
    """``text`` with the user names, passwords and query strings of its addresses taken out."""
    text = re.sub(r"(\w://)[^/\s@]+@", r"\1***@", text)
    return re.sub(r"(\w://[^\s?'\"]+)\?[^\s'\"]+", r"\1?***", text)


def words(uri: str, error: Exception) -> str:
    """What a user is told of an error of MLflow's: whether the store is out of reach or refuses, and why."""
    text = re.sub(r"<[\w.]+ object at 0x\w+>:? ?", "", " ".join(str(error).split()))
    text = redact(text)[:500]
    remedy = _remedy(text)
    if "failed with exception" in text or "failed with timeout" in text:
        return f"MLflow at {redact(uri)} cannot be reached: {text}{remedy}"
    return f"MLflow at {redact(uri)} refused: {text or type(error).__name__}{remedy}"


def _remedy(text: str) -> str:
    """What to do about it, where that can be told from an error's words."""
    if "is full" in text or "No space left" in text:
        return f"; {FREE}"
    return f"; {HELD}" if "is locked" in text else ""


def quiet() -> None:
    """Silences loggers that repeat what a :class:`TrackingError` says, or write a line for every request."""
    for name in ("mlflow", "mlflow.tracking.request_header.registry", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def source_tags(commit: str) -> dict[str, str]:
    """Who and what makes the runs, as MLflow's pages show it."""
    tags = {"mlflow.user": _user(), "mlflow.source.name": "python -m benchmark", "mlflow.source.type": "LOCAL"}
    return {**tags, "mlflow.source.git.commit": commit} if commit else tags


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return "unknown"


def artifact_location(uri: str, experiment: str) -> str | None:
    """Where an experiment's artifacts go: ``mlruns`` beside a SQLite store, else as the server decides.

    A ``file:`` address, since MLflow takes a ``%`` or ``?`` of a plain path for syntax.
    """
    path = sqlite_path(uri)
    if path is None:
        return None
    slug = "".join(each if each.isalnum() or each in "-_" else "-" for each in experiment)[:80]
    return (path.absolute().parent / "mlruns" / slug).as_uri()


def prepare(uri: str) -> None:
    """Makes a SQLite store if ``uri`` names one that is not there yet (a few seconds), in WAL mode.

    Raises:
        TrackingError: its directory cannot be written, or the file is not a SQLite database.
    """
    path = sqlite_path(uri)
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            make(path)
        use_wal(path)
    except (MakingError, DataError, OSError, subprocess.SubprocessError) as error:
        text = redact(str(error))
        raise TrackingError(f"MLflow's store cannot be made: {path}: {text}{_remedy(text)}") from error
    except sqlite3.DatabaseError as error:
        raise TrackingError(f"{path}: cannot be used as MLflow's store: {error}{_remedy(str(error))}") from error
