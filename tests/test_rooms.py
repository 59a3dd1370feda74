"""Imports go one way (docs/architecture.md): a room does not import what it knows nothing of, even in a function."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {
    "launch/*": ("benchmark.training*", "benchmark.cli*", "benchmark.sweep", "benchmark.session", "reports*"),
    "reports/*": ("benchmark.training*", "benchmark.cli*", "benchmark.sweep", "launch*", "mlflow*", "torch*"),
    "benchmark/training/*": (
        "benchmark.cli*", "benchmark.sweep", "benchmark.session", "benchmark.journal", "benchmark.config*", "launch*",
        "reports*", "mlflow*", "sagemaker*", "boto*", "click*", "matplotlib*", "pydantic*",
    ),
    "benchmark/config/*": ("torch*", "mlflow*", "launch*", "reports*", "benchmark.training*", "benchmark.cli*"),
    "benchmark/data/*": ("torch", "mlflow*", "launch*", "reports*", "benchmark.training*", "benchmark.cli*"),
    "benchmark/[!c]*.py": ("benchmark.cli", "benchmark.cli_*"),
}  # fmt: skip
EXCEPTIONS = {
    "benchmark/__main__.py": "benchmark.cli",
    "launch/run_training.py": "benchmark.cli",  # a script of its own: the command, for one configuration
    "launch/train_models.py": "benchmark.training*",  # the entry script, in the job
    "benchmark/data/s3.py": "launch*",  # who speaks with S3 lives there
}
GROUND = (
    "run", "records", "durable", "rundir", "plugins", "plainfile", "failpoints", "metric_names", "weights", "machine",
)  # fmt: skip
ALLOWED = {*(f"benchmark.{name}" for name in GROUND), "benchmark.data.imageset", "benchmark.data.datacache"}
"""The data's two are there for a type's name, and for where the cache lies."""


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def sources(pattern: str) -> list[Path]:
    return [
        path
        for room in ("benchmark", "launch", "reports")
        for path in sorted((ROOT / room).rglob("*.py"))
        if fnmatch(path.relative_to(ROOT).as_posix(), pattern)
    ]


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_a_room_does_not_import_what_it_knows_nothing_of(pattern: str) -> None:
    found = sources(pattern)
    assert found
    wrong = [
        f"{name}: {each}"
        for path in found
        for name in [path.relative_to(ROOT).as_posix()]
        for each in imported(path)
        if any(fnmatch(each, forbidden) for forbidden in FORBIDDEN[pattern])
        and not fnmatch(each, EXCEPTIONS.get(name, ""))
    ]
    assert wrong == []


def test_the_ground_floor_stands_on_nothing() -> None:
    for name in GROUND:
        ours = {each for each in imported(ROOT / "benchmark" / f"{name}.py") if each.startswith("benchmark.")}
        modules = {each for each in ours if (ROOT / f"{each.replace('.', '/')}.py").exists()}
        assert modules <= ALLOWED, name
