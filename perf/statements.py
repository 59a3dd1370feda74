"""How many queries a piece of work sends: through `sqlite3`, as our journal does, or SQLAlchemy, as MLflow does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from sqlalchemy import event
from sqlalchemy.engine import Engine


def queries(work: Callable[[], object]) -> int:
    """The number of SELECTs during ``work``, in whichever thread."""
    found: list[str] = []
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(found.append)
        return connection

    def executed(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", executed)
    try:
        with patch.object(sqlite3, "connect", traced):  # SQLAlchemy takes `sqlite3.dbapi2.connect`: none counts twice
            work()
    finally:
        event.remove(Engine, "before_cursor_execute", executed)
    return sum(each.lstrip().upper().startswith("SELECT") for each in found)
