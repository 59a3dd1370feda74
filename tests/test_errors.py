import sqlite3

from benchmark.catalogue import CatalogueError
from benchmark.config import ConfigError
from benchmark.config.problems import Problem
from benchmark.data.datasets import DataError
from benchmark.errors import CODES, exit_code
from benchmark.exporting import ExportFailed, LibraryMissing
from benchmark.installed import WrongPackage
from benchmark.journal import JournalError
from benchmark.lock import Busy
from benchmark.mlflow_store import TrackingError
from benchmark.plugins import PluginError
from benchmark.preparing import UsageProblem
from benchmark.rundir import BrokenFile
from launch import ModeError, Unavailable
from reports.recorded import BadLeaderboard

EXPECTED = {
    1: [ExportFailed("")],
    2: [ConfigError([Problem("a", 1, 1, "b")]), DataError(""), ModeError(""), UsageProblem(""), BadLeaderboard("")],
    3: [
        WrongPackage(""),
        Unavailable(""),
        CatalogueError(""),
        Busy(""),
        JournalError(""),
        TrackingError(""),
        BrokenFile(""),
        sqlite3.DatabaseError(""),
        PermissionError(""),
        LibraryMissing(""),
        PluginError(""),
    ],
}


def test_every_expected_error_has_its_exit_code() -> None:
    assert {code: [exit_code(error) for error in errors] for code, errors in EXPECTED.items()} == {
        code: [code] * len(errors) for code, errors in EXPECTED.items()
    }
    assert len(CODES) == sum(len(errors) for errors in EXPECTED.values())


def test_a_mistake_in_the_program_has_none() -> None:
    assert exit_code(KeyError("x")) is None
