"""What must not be in the program's source, and what hostile files cannot make it do."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import os
import re
import secrets
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark import plainfile
from benchmark.data.datacache import DataError
from benchmark.data.datasets import prepare
from benchmark.durable import write_json
from benchmark.lock import exclusive
from benchmark.mlflow_evidence import BadDocument, check_predictions
from benchmark.records import Event
from benchmark.run import DataSpec, Run
from benchmark.rundir import BrokenFile, RunDir
from benchmark.training import checkpoint, portable
from benchmark.training.data import load
from launch.attempts import locked
from launch.fast_local import FastLocal
from launch.host import Start

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [path for top in ("benchmark", "launch", "reports") for path in sorted((ROOT / top).rglob("*.py"))]
UNPICKLERS = (
    "benchmark/training/torchvision_found.py",  # an Unpickler of its own, with a list of what it may find
    "benchmark/training/statedict.py",  # the exception alone
    "benchmark/training/checkpoint.py",
)
"""Who may import pickle, and why."""
FORBIDDEN_IMPORTS = {"joblib", "dill", "cloudpickle", "shelve", "marshal", "jsonpickle", "telnetlib", "pty"}
FORBIDDEN_CALLS = {"eval", "exec", "os.system", "os.popen", "tempfile.mktemp", "yaml.load", "yaml.unsafe_load",
                   "pickle.load", "pickle.loads", "torch.jit.load", "torch.hub.load", "pandas.read_pickle",
                   "pd.read_pickle", "subprocess.getoutput", "subprocess.getstatusoutput", "os.umask"}  # fmt: skip
DIGITS = DataSpec("synthetic", train_size=60, test_size=20, classes=2)
RUN = Run(DataSpec("synthetic"), "lenet5", data_digest="d" * 64, image_size=28, channels=1, epochs=1)


def _offences(text: str, name: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
            tops = {each.partition(".")[0] for each in names}
            if tops & FORBIDDEN_IMPORTS or ("pickle" in tops and name not in UNPICKLERS):
                yield f"{name}:{node.lineno}: imports {names}"
        if isinstance(node, ast.Call):
            yield from (f"{name}:{node.lineno}: {each}" for each in _wrong(node))


def _wrong(call: ast.Call) -> Iterator[str]:
    called = ast.unparse(call.func)
    given = {each.arg: ast.unparse(each.value) for each in call.keywords}
    if called in FORBIDDEN_CALLS:
        yield called
    if called == "torch.load" and given.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    if given.get("allow_pickle", "False") != "False":
        yield "allow_pickle"
    if given.get("shell", "False") != "False":
        yield "a shell"


def test_nothing_is_unpickled_evaluated_or_given_to_a_shell() -> None:
    found = [each for path in SOURCES for each in _offences(path.read_text(), path.relative_to(ROOT).as_posix())]
    assert found == []
    assert len(SOURCES) > 250


@pytest.mark.parametrize(
    "text",
    ["import torch\ntorch.load(f)", "torch.load(f, weights_only=False)", "np.load(f, allow_pickle=True)",
     "import joblib", "import pickle", "from pickle import loads", "subprocess.run(x, shell=True)",
     "eval(x)", "os.system('x')"],
)  # fmt: skip
def test_the_search_itself_finds_each(text: str) -> None:
    assert list(_offences(text, "benchmark/x.py"))


def test_each_exception_from_a_rule_of_security_has_its_reason() -> None:
    marks = [
        (path.name, line) for path in SOURCES for line in path.read_text().splitlines() if re.search(r"noqa: S\d", line)
    ]
    assert [each for each in marks if not re.search(r"noqa: (S\d+(, )?)+ +[-(]\s*\w+", each[1])] == []
    assert len(marks) < 12


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.witness}'",)


def _objects(witness: Path) -> np.ndarray:
    found = np.empty(1, dtype=object)
    found[0] = Evil(witness)
    return found


def _npy(witness: Path) -> bytes:
    file = io.BytesIO()
    np.save(file, _objects(witness), allow_pickle=True)
    return file.getvalue()


def _npz(witness: Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("val_ids", "val_labels", "val_log_probs", "classes"):
            archive.writestr(f"{name}.npy", _npy(witness))
    return file.getvalue()


def _saved(witness: Path) -> bytes:
    file = io.BytesIO()
    torch.save({"checkpoint": Evil(witness)}, file)
    return file.getvalue()


@pytest.mark.parametrize("make", [_saved, _npy, _npz])
def test_what_the_readers_refuse_would_really_have_run(tmp_path: Path, make: Callable[[Path], bytes]) -> None:
    """Else the tests below could not fail."""
    witness = tmp_path / "witness"
    content = io.BytesIO(make(witness))
    if make is _saved:
        torch.load(content, weights_only=False)
    elif make is _npy:
        np.load(content, allow_pickle=True)
    else:
        np.load(content, allow_pickle=True)["classes"]
    assert witness.exists()


def test_a_checkpoint_with_a_right_digest_runs_no_code(tmp_path: Path) -> None:
    """Its SHA-256 tells a broken one, not a forged one."""
    witness, path, content = tmp_path / "witness", tmp_path / "epoch-1.pt", _saved(tmp_path / "witness")
    path.write_bytes(
        checkpoint.HEADER.pack(checkpoint.MAGIC, checkpoint.VERSION, hashlib.sha256(content).digest()) + content
    )
    with pytest.raises(BrokenFile, match="not a checkpoint"):
        checkpoint.read(path)
    assert not witness.exists()


def test_predictions_run_no_code_from_disk_and_from_a_tracking_server(tmp_path: Path) -> None:
    witness, rundir = tmp_path / "witness", RunDir(tmp_path)
    for content in (_npz(witness), _npy(witness), _saved(witness)):
        (tmp_path / "predictions.npz").write_bytes(content)
        for read in (lambda: rundir.read_predictions("val"), rundir.read_classes):
            with pytest.raises(BrokenFile):
                read()
        with pytest.raises(BadDocument):
            check_predictions(content)
    assert not witness.exists()


@pytest.mark.parametrize("name", ["labels.npy", "ids.npy", "images.npy"])
def test_a_cache_that_somebody_else_filled_runs_no_code(tmp_path: Path, name: str) -> None:
    directory = prepare(DIGITS, image_size=28, channels=1, resize="crop", cache=tmp_path / "cache")
    witness = tmp_path / "witness"
    assert (directory / name).exists()
    (directory / name).unlink()
    (directory / name).write_bytes(_npy(witness))
    with pytest.raises((DataError, ValueError)):
        load(directory)
    assert not witness.exists()


def test_weights_that_are_a_pickle_run_no_code_when_a_network_is_exported(tmp_path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path, witness = tmp_path / "model.safetensors", tmp_path / "witness"
    path.write_bytes(_saved(witness))
    assert portable.load_file is load_file
    with pytest.raises(SafetensorError):
        load_file(path)
    assert not witness.exists()


def test_the_target_of_a_link_in_a_directory_from_elsewhere_is_not_written(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    rundir = RunDir(tmp_path / "results" / "x" / "runs" / "0123456789ab")
    rundir.checkpoint.mkdir(parents=True)
    for name in ("lock", "result.json", "checkpoint/events.jsonl"):
        (rundir.path / name).symlink_to(victim)
    (rundir.path.parent.parent / "lock").symlink_to(victim)
    with pytest.raises(OSError, match="is a symbolic link, and is not written: remove it"), locked(rundir):
        pass
    with pytest.raises(OSError, match="is a symbolic link"), exclusive(rundir.path.parent.parent):
        pass
    with pytest.raises((OSError, BrokenFile)):
        rundir.append_event(Event(1, 1, 0.0, {}))
    write_json(rundir.path / "result.json", {"a": 1})
    assert not (rundir.path / "result.json").is_symlink(), "the link itself is replaced"
    assert victim.read_text() == "precious\n"


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("name", ["log.txt", "pid"])
def test_a_job_does_not_write_where_a_link_in_its_directory_points(tmp_path: Path, name: str, start: Start) -> None:
    victim, rundir = tmp_path / "victim", RunDir(tmp_path / "runs" / "0123456789ab")
    victim.write_text("precious\n")
    entry = tmp_path / "entry.py"
    entry.write_text("print('said')")
    (rundir.attempt(1) / name).symlink_to(victim)
    with FastLocal(start, entry=entry, preload=()) as launcher, contextlib.suppress(OSError):
        job = launcher.submit(RUN, rundir, 1, tmp_path)
        deadline = time.monotonic() + 60
        while job.poll().status != "ended":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert job.poll().failure is not None
    assert victim.read_text() == "precious\n"


def test_a_plain_file_is_opened_as_ever(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        handle = plainfile.opened(tmp_path / "x", os.O_WRONLY | os.O_TRUNC)
        os.write(handle, content)
        os.close(handle)
    assert (tmp_path / "x").read_bytes() == b"two"
    assert not os.get_inheritable(os.open(tmp_path / "x", os.O_RDONLY))


def test_a_file_in_the_making_has_a_name_that_nobody_can_foresee(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever guesses it makes the write fail, and no more."""
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    monkeypatch.setattr(secrets, "token_hex", lambda count: "0" * 2 * count)
    (tmp_path / ".x.json.00000000").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_json(tmp_path / "x.json", {})
    assert victim.read_text() == "precious\n"
