"""The archive of code that travels to AWS: always the same bytes, and nothing of this machine but the allow-list."""

from __future__ import annotations

import ast
import fnmatch
import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch import payload
from launch.training_job import COMMAND, HOME

CANARY = b"canary-0123456789"
SECRETS = (
    ".env",
    "credentials",
    ".git/config",
    "benchmark/.env",
    "benchmark/credentials",
    "benchmark/settings.json",
    "benchmark/data/.netrc",
    "benchmark/training/.env",
    "benchmark/training/id_rsa",
    "benchmark/training/__pycache__/secret.py",
    "benchmark/training/deeper/secret.py",
    "launch/.env",
    "launch/secret.py",
    "launch/requirements.txt.bak",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of our packages, from which the archive is made."""
    found = tmp_path / "кот #1 home"
    for name in ("benchmark", "launch"):
        shutil.copytree(payload.HOME / name, found / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(payload, "HOME", found)
    return found


def entries(archive: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        return tar.getmembers()


def unpacked(target: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(payload.archive()), mode="r:gz") as tar:
        tar.extractall(target, filter="data")
    return target


def test_the_archive_is_the_same_bytes_twice_whatever_the_times_modes_and_place(home: Path) -> None:
    before, digest = payload.archive(), payload.digest()
    for number, path in enumerate(sorted(home.rglob("*.py"))):
        path.chmod(0o700 if number % 2 else 0o640)
        os.utime(path, (number, 10**9 + number))
    assert payload.archive() == before
    assert payload.digest() == digest


def test_the_copy_and_the_original_are_the_same_archive(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = payload.archive()
    monkeypatch.undo()
    assert payload.archive() == copied


def test_a_changed_line_is_another_archive_and_another_digest(home: Path) -> None:
    before, digest = payload.archive(), payload.digest()
    with (home / "benchmark" / "run.py").open("a") as file:
        file.write("\n")
    assert payload.archive() != before
    assert payload.digest() != digest


def test_it_holds_exactly_what_is_allowed_with_no_trace_of_the_owner(home: Path) -> None:
    found = entries(payload.archive())
    names = [each.name for each in found]
    assert names == list(payload.files())
    assert len(set(names)) == len(names)
    assert all(any(fnmatch.fnmatchcase(name, pattern) for pattern in payload.CODE) for name in names)
    assert {pattern for pattern in payload.CODE if not any(fnmatch.fnmatchcase(n, pattern) for n in names)} == set()
    assert {(e.uid, e.gid, e.uname, e.gname, e.mode, e.mtime, e.type) for e in found} == {
        (0, 0, "", "", 0o644, 0, tarfile.REGTYPE)
    }
    assert all(".." not in name.split("/") and not name.startswith("/") for name in names)


def test_no_secret_that_lies_around_is_in_any_byte_of_it(home: Path, tmp_path: Path) -> None:
    before = payload.archive()
    for name in SECRETS:
        place = home / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(CANARY)
    secret = tmp_path / "secret.py"
    secret.write_bytes(CANARY)
    (home / "benchmark" / "training" / "secrets_of_mine.py").symlink_to(secret)
    (home / "benchmark" / "training" / "a_directory.py").mkdir()
    os.mkfifo(home / "benchmark" / "training" / "pipe.py")
    assert payload.archive() == before
    assert CANARY not in gzip.decompress(payload.archive())


def test_a_link_in_the_place_of_an_allowed_file_is_not_followed(home: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(CANARY)
    for name in ("benchmark/machine.py", "launch/requirements.txt", "benchmark/training/job.py"):
        (home / name).unlink()
        (home / name).symlink_to(secret)
    found = payload.archive()
    assert CANARY not in gzip.decompress(found)
    assert not {"benchmark/machine.py", "launch/requirements.txt"} & {each.name for each in entries(found)}


def test_a_link_in_the_place_of_a_directory_is_not_followed(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "job.py").write_bytes(CANARY)
    shutil.rmtree(home / "benchmark" / "training")
    (home / "benchmark" / "training").symlink_to(elsewhere)
    assert CANARY not in gzip.decompress(payload.archive())


def test_what_a_container_is_given_is_what_the_archive_holds(home: Path, tmp_path: Path) -> None:
    payload.write(tmp_path / "written")
    archived = unpacked(tmp_path / "archived")
    for directory in (tmp_path / "written", archived):
        names = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
        assert names == sorted(payload.files())
        assert all((directory / name).read_bytes() == (home / name).read_bytes() for name in names)


ENTRIES = ("launch/bootstrap.py", "launch/train_models.py", "benchmark/training/job.py")
"""What is started in a job: by SageMaker, by that, and, of a run of several processes, by torchrun."""


def test_every_file_compiles() -> None:
    for name in payload.files():
        if name.endswith(".py"):
            compile((payload.HOME / name).read_bytes(), name, "exec")


def test_whatever_a_job_may_import_of_ours_is_in_the_archive(tmp_path: Path) -> None:
    root = unpacked(tmp_path / "code")
    seen, ahead, lacking = set[str](), list(ENTRIES), set()
    while ahead:
        path = ahead.pop()
        if path not in seen:
            seen.add(path)
            for name in imports(ast.parse((root / path).read_text(encoding="utf-8"), path)):
                lacking |= set() if is_there(root, name) else {(path, name)}
                ahead += (each for each in sources(root, name))
    assert lacking == set()
    assert len(seen) > 30


def sources(root: Path, name: str) -> Iterator[str]:
    """The files that are read when a module, or a name of one, is imported."""
    for path in (Path(name.replace(".", "/")), Path(name.rpartition(".")[0].replace(".", "/"))):
        yield from (
            each.as_posix() for each in (path.with_suffix(".py"), path / "__init__.py") if (root / each).is_file()
        )


def imports(tree: ast.Module) -> Iterator[str]:
    """Modules, and names that may be modules, of our own packages."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if is_ours(each.name))
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "no import here is relative"
            yield from (f"{node.module}.{each.name}" for each in node.names if is_ours(str(node.module)))


def is_ours(name: str) -> bool:
    return name.partition(".")[0] in ("benchmark", "launch", "reports")


def is_there(root: Path, name: str) -> bool:
    """A module, or a name of a module that defines it."""
    place, (before, _, last) = root / name.replace(".", "/"), name.rpartition(".")
    if place.with_suffix(".py").is_file() or (place / "__init__.py").is_file():
        return True
    above = root / before.replace(".", "/")
    source = next((each for each in (above.with_suffix(".py"), above / "__init__.py") if each.is_file()), None)
    return source is not None and last in defined(ast.parse(source.read_text(encoding="utf-8")))


def defined(tree: ast.Module) -> set[str]:
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    found |= {n.name for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)}
    return found | {each.asname or each.name for n in tree.body if isinstance(n, ast.ImportFrom) for each in n.names}


def test_a_file_that_does_not_travel_is_noticed(tmp_path: Path) -> None:
    root = unpacked(tmp_path / "code")
    assert is_there(root, "benchmark.rundir.RunDir")
    assert is_there(root, "benchmark.training.job")
    assert not is_there(root, "benchmark.sweep.Sweep")
    assert not is_there(root, "benchmark.rundir.NoSuchName")


def test_the_command_of_a_job_unpacks_it_and_begins_the_program_that_is_in_it(tmp_path: Path) -> None:
    ml = tmp_path / "opt"
    (ml / "input/data/code").mkdir(parents=True)
    (ml / "output").mkdir()
    (ml / "input/data/code" / f"{payload.digest()[:32]}.tar.gz").write_bytes(payload.archive())
    variables = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "SM_OUTPUT_DIR": str(ml / "output")}
    done = subprocess.run(
        ["sh", "-c", COMMAND.replace(HOME, str(ml))],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "KeyError: 'SM_OUTPUT_DATA_DIR'" in done.stderr, "it asks for its places"
    assert str(ml / "code/benchmark/training/places.py") in done.stderr
