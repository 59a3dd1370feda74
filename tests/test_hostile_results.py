"""Results that somebody edited, cut off or wrote with another program: refused with the file and what to do, or passed
over as documented; never a traceback, and nothing of them is changed."""

import ctypes
import dataclasses
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark.attempt import Active, Gone
from benchmark.errors import exit_code
from benchmark.journal import Journal, JournalError
from benchmark.records import Failure, Predictions, Result
from benchmark.run import DataSpec, Run
from benchmark.rundir import BrokenFile, RunDir

RUN = Run(data=DataSpec(), model="lenet5", data_digest="ab" * 32, image_size=28, channels=1)
RESULT = Result(RUN.run_id, {"test/accuracy": 0.5}, {}, 1, 2, 1.0, 2.0, "a network", {"torch": "2"})
LEVEL = "[" * 100_000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    journal = Journal(tmp_path)
    journal.plan([RUN])
    journal.begin(RUN)
    journal.record(RUN, RESULT, {"speed/latency_ms_p50": 1.0})
    journal.close()
    return tmp_path


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": [0.5]},
        {"metrics": {"test/accuracy": "0.5"}},
        {"metrics": {"test/accuracy": float("nan")}},
        {"metrics": {"test/accuracy": 10**400}},
        {"metrics": {"test/accuracy": True}},
        {"undefined": {"test/accuracy": 1}},
        {"undefined": "no"},
        {"best_epoch": 1.5},
        {"best_epoch": -1},
        {"epochs": 2**70},
        {"started": "yesterday"},
        {"finished": float("inf")},
        {"architecture": None},
        {"environment": {"torch": ["2"]}},
        {"notes": "one"},
        {"run_id": 5},
        {"schema_version": 99},
        {"more": 1},
    ],
    ids=str,
)
def test_a_result_that_was_edited_is_refused_by_the_name_of_its_file(changes: dict, directory: Path) -> None:
    rundir = RunDir(directory / "runs" / RUN.run_id)
    rundir.write_result(RESULT)
    path = rundir.path / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(BrokenFile, match=r"result\.json: "):
        rundir.read_result()
    _edit(directory, "UPDATE outcomes SET document = ?", json.dumps({**json.loads(_document(directory)), **changes}))
    if "schema_version" not in changes:  # the journal has a version of its own
        with Journal.read(directory) as journal, pytest.raises(JournalError, match=r"journal\.db: a row is not"):
            journal.outcomes()


def test_the_result_of_another_run_is_a_failure_that_names_it(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path)
    rundir.write_result(dataclasses.replace(RESULT, run_id="0123456789ab"))
    outcome = Active(RUN, rundir, 1, Gone()).outcome(None)
    assert isinstance(outcome, Failure)
    assert f"result.json: the result of run 0123456789ab, not of {RUN.run_id}" in outcome.message


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "\x00", LEVEL, '{"a": ' * 5000, "{}"])
def test_every_other_file_that_is_none_is_refused_by_its_name(text: str, tmp_path: Path) -> None:
    rundir = RunDir(tmp_path)
    for name in ("run.json", "result.json", "failure.json", "evaluation.json", "profile.json"):
        (tmp_path / name).write_text(text)
    for read in (rundir.read_run, rundir.read_result, rundir.read_failure, rundir.read_evaluation, rundir.read_profile):
        with pytest.raises(BrokenFile, match=r"/[a-z]+\.json: "):
            read()


@pytest.mark.parametrize(
    "line", ["{}", "null", LEVEL, '{"epoch": 1, "step": 1, "time": NaN, "metrics": {}}',
             '{"epoch": "1", "step": 1, "time": 1, "metrics": {}}', '{"epoch": 1, "step": 1, "time": 1, "metrics": 3}'],
    ids=lambda line: line[:40],
)  # fmt: skip
def test_garbage_among_the_epochs_is_refused_by_the_name_of_its_file(line: str, tmp_path: Path) -> None:
    rundir = RunDir(tmp_path)
    rundir.checkpoint.mkdir()
    rundir.events_path.write_text(f"{line}\n")
    with pytest.raises(BrokenFile, match=r"events.jsonl: not a list of epochs"):
        rundir.read_events()


class _Evil:
    def __reduce__(self):
        return (os.system, ("touch evil",))


def _arrays(**changes) -> dict:
    labels, probabilities = np.array([0, 1]), np.zeros((2, 2), np.float32)
    known = {"classes": np.array(["a", "b"]), "test_ids": np.array(["x", "y"]), "test_labels": labels}
    return {**known, "test_log_probs": probabilities, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"test_labels": np.array([_Evil(), 1], dtype=object)},
        {"test_labels": np.array([0, 7])},
        {"test_labels": np.array([0, -1])},
        {"test_labels": np.array([0, 1, 1])},
        {"test_labels": np.array([0.0, 1.0])},
        {"test_ids": np.array([0, 1])},
        {"test_log_probs": np.zeros(2, np.float32)},
        {"test_log_probs": np.zeros((2, 0), np.float32)},
        {"test_log_probs": np.array([["0", "1"]] * 2)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_predictions_of_other_types_or_shapes_are_refused(changes: dict, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "predictions.npz", **_arrays(**changes))
    with pytest.raises(BrokenFile, match="not predictions for 'test'"):
        RunDir(tmp_path).read_predictions("test")
    assert not (tmp_path / "evil").exists(), "a pickle was obeyed"


def test_predictions_that_would_unfold_are_refused_and_cut_ones_too(tmp_path: Path) -> None:
    path, rundir = tmp_path / "predictions.npz", RunDir(tmp_path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("test_ids.npy", bytes(50_000_000))
    with pytest.raises(BrokenFile, match="compressed"):
        rundir.read_predictions("test")
    answers = Predictions(np.array(["x", "y"]), np.array([0, 1]), np.zeros((2, 2), np.float32))
    rundir.write_predictions({"test": answers}, ("a", "b"))
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(BrokenFile, match=r"predictions\.npz"):
            rundir.read_predictions("test")


def _look(directory: Path) -> None:
    with Journal.read(directory) as journal:
        journal.planned()
        journal.outcomes()


def _document(directory: Path) -> str:
    with sqlite3.connect(directory / "journal.db") as db:
        return db.execute("SELECT document FROM outcomes").fetchone()[0]


def _edit(directory: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(directory / "journal.db") as db:
        db.execute(statement, values)
    db.close()


EDITS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("no database at all, but a text of some length" * 30),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "newer": lambda path: _edit(path.parent, "PRAGMA user_version = 99"),
    "foreign": lambda path: (path.unlink(), _edit(path.parent, "CREATE TABLE songs (name TEXT)")),
    "no table": lambda path: _edit(path.parent, "DROP TABLE outcomes"),
    "run": lambda path: _edit(path.parent, "UPDATE runs SET document = '{\"model\": 5}'"),
    "outcome": lambda path: _edit(path.parent, "UPDATE outcomes SET document = '[]'"),
    "profile": lambda path: _edit(path.parent, 'UPDATE outcomes SET profile = \'{"speed/x": "fast"}\''),
    "depth": lambda path: _edit(path.parent, "UPDATE outcomes SET document = ?", LEVEL),
    "directory": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_journal_that_is_none_is_refused_with_the_remedy_and_left_as_it_is(name: str, directory: Path) -> None:
    path = directory / "journal.db"
    EDITS[name](path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(JournalError, match=r"journal\.db: .*(move it away|use the program)") as caught:
        _look(directory)
    assert exit_code(caught.value) == 3
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_looking_changes_nothing(directory: Path) -> None:
    before = (directory / "journal.db").read_bytes()
    with Journal.read(directory) as journal:
        assert journal.outcomes()[RUN.run_id].result == RESULT
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            journal.remember("a", "b")
    assert (directory / "journal.db").read_bytes() == before


def test_what_is_only_in_the_writers_log_is_seen_and_an_empty_file_is_an_empty_journal(tmp_path: Path) -> None:
    (tmp_path / "journal.db").touch()
    with Journal.read(tmp_path) as journal:
        assert journal.outcomes() == {}
    writer = Journal(tmp_path)
    writer.plan([RUN])
    writer.record(RUN, RESULT, {})
    assert (tmp_path / "journal.db-wal").stat().st_size
    with Journal.read(tmp_path) as journal:
        assert journal.planned() == (RUN,)
    writer.close()


def test_a_journal_that_is_made_while_it_is_looked_at_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two commands begin at once: the tables come between the reader's first statement and its second."""
    sqlite3.connect(tmp_path / "journal.db").close()

    class Looking(sqlite3.Connection):
        def execute(self, *words: object) -> sqlite3.Cursor:
            found = super().execute(*words)  # type: ignore[arg-type]
            if "PRAGMA user_version" in words or "SELECT COUNT(*) FROM sqlite_master" in words:
                monkeypatch.undo()
                answer = found.fetchone()
                Journal(tmp_path).close()
                found = super().execute("SELECT ?", answer)
            return found

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *words, **keys: real(*words, **keys, factory=Looking))
    with Journal.read(tmp_path) as journal:
        assert journal.outcomes() == {}


LOOK = """
import os, sys
from pathlib import Path
from benchmark.journal import Journal
os.setgid(65534); os.setuid(65534)
with Journal.read(Path(sys.argv[1])) as journal:
    print(len(journal.outcomes()))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="to become another user")
@pytest.mark.parametrize("living", [False, True], ids=["alone", "beside a sweep"])
def test_a_directory_of_somebody_else_can_be_looked_at(living: bool) -> None:
    place = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    place.chmod(0o755)
    try:
        writer = Journal(place)
        writer.plan([RUN])
        writer.record(RUN, RESULT, {})
        if not living:
            writer.close()
        done = subprocess.run([sys.executable, "-c", LOOK, place], env={**os.environ, "PYTHONPATH": str(Path.cwd())},
                              capture_output=True, text=True)  # fmt: skip
        assert done.stdout == "1\n", done.stderr
        if living:
            writer.close()
    finally:
        shutil.rmtree(place)


MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_read_only_file_system_can_be_looked_at(directory: Path) -> None:
    mount = ctypes.CDLL(None, use_errno=True).mount
    place = str(directory).encode()
    if mount(place, place, None, MS_BIND, None):
        pytest.skip("this machine does not let us mount")
    try:
        assert not mount(None, place, None, MS_REMOUNT | MS_BIND | MS_RDONLY, None)
        with Journal.read(directory) as journal:
            assert journal.outcomes()[RUN.run_id].result == RESULT
    finally:
        ctypes.CDLL(None).umount(place)
