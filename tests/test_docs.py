"""Pages and the schema that say what the code says.  REGENERATE_GOLDEN=1 writes them anew."""

import dataclasses
import os
import re
import shlex
from pathlib import Path
from typing import get_args, get_type_hints

import click
import pytest

from benchmark import catalogue, config
from benchmark.aws_settings import AwsSettings
from benchmark.cli import main
from benchmark.config.experiment import LaunchSettings, ReportSettings, SearchSettings, TrackingSettings
from benchmark.run import RESOLVED, DataSpec, Run
from tests.reference import PAGES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "keys.md"
SECTIONS = [
    ("A run", "under `defaults`, `matrix`, `include`, `set` of an override, and `--set`", Run, {"data", *RESOLVED}),
    (
        "`data`",
        "the source's name, or a mapping; `image_size`, `channels` and `resize` may stand here too",
        DataSpec,
        set(),
    ),
    ("`launch`", "how runs are started; no part of their identity", LaunchSettings, {"aws"}),
    ("`aws`", "how training jobs run in AWS; no part of a run's identity", AwsSettings, set()),
    ("`tracking`", "where MLflow keeps the runs", TrackingSettings, set()),
    ("`report`", "what the leaderboard shows", ReportSettings, set()),
    ("`search`", "whether every run trains to its end; no part of a run's identity", SearchSettings, set()),
]


def page() -> str:
    lines = ["# The keys of an experiment", "", "Made from the code by `tests/test_docs.py`."]
    for title, where, kind, hidden in SECTIONS:
        lines += [
            "",
            f"## {title}",
            "",
            f"{where[0].upper()}{where[1:]}.",
            "",
            "| key | default | meaning |",
            "|---|---|---|",
        ]
        for each in dataclasses.fields(kind):
            if each.name not in hidden:
                lines.append(f"| `{each.name}` | {default(each)} | {meaning(kind, each)} |")
    return "\n".join(lines) + "\n"


def default(field: "dataclasses.Field[object]") -> str:
    if field.default is not dataclasses.MISSING:
        return {"": "–", None: "null"}.get(field.default, f"`{field.default}`")  # type: ignore[call-overload, no-any-return]
    return f"`{field.default_factory()}`" if field.default_factory is not dataclasses.MISSING else "required"


def meaning(kind: type, field: "dataclasses.Field[object]") -> str:
    text = field.metadata.get("description", "any name that `python -m benchmark models` lists")
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    limits = [f"{words[k]} {v}" for k, v in field.metadata.get("limits", {}).items() if k in words and v != 2**32]
    choices = get_args(get_type_hints(kind)[field.name])
    names = [each for each in choices if isinstance(each, str)]
    named = [f"`{each}`" for each in names] if any(each not in text for each in names) else []
    extra = "; ".join([*limits, *([f"one of {', '.join(named)}"] if len(named) > 1 else [])])
    return f"{text} ({extra})" if extra else str(text)


def test_the_page_of_keys_is_what_the_code_says() -> None:
    if os.environ.get("REGENERATE_GOLDEN"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_of_the_reference_are_what_the_code_says(name: str) -> None:
    made, path = PAGES[name](), ROOT / "docs" / name
    if os.environ.get("REGENERATE_GOLDEN"):
        path.write_text(made, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == made


@pytest.mark.parametrize("path", [ROOT / "experiments.yaml", ROOT / "experiments" / "quick.yaml"], ids=lambda p: p.stem)
def test_every_shipped_experiment_is_valid(path: Path, tmp_path: Path) -> None:
    assert config.load(path, (), catalogue.names(tmp_path)).cells


READ = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
APART = ("matrix.md", "plugins.md")
"""Their YAML is tried below, and in `test_plugins.py`."""


def examples() -> list[tuple[str, str]]:
    """(page, YAML)"""
    found = [(path, re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)) for path in READ]
    return [(path.name, text) for path, texts in found if path.name not in APART for text in texts]


@pytest.mark.parametrize(("page", "text"), examples())
def test_every_yaml_of_the_pages_is_valid(page: str, text: str, tmp_path: Path) -> None:
    """Of a part alone the rest is added."""
    (tmp_path / "photos").mkdir()
    rest = {"name": "example", "data": "fashion-mini", "matrix": "{model: lenet5}"}
    added = [f"{key}: {value}" for key, value in rest.items() if not re.search(rf"^{key}:", text, re.MULTILINE)]
    path = tmp_path / "e.yaml"
    path.write_text("\n".join([*added, text]), encoding="utf-8")
    assert config.load(path).cells


def commands() -> list[tuple[str, str]]:
    """(page, what is typed after `python -m benchmark`)"""
    pattern = re.compile(r"(?:python -m benchmark|torch-image-benchmark) ([a-z][^`\n#;|&>]*)")
    found = [(path.name, each.strip()) for path in READ for each in pattern.findall(path.read_text(encoding="utf-8"))]
    return sorted({each for each in found if each[1].split()[0] in main.commands or "-" in each[1]})


@pytest.mark.parametrize(("page", "typed"), commands())
def test_every_command_of_the_pages_has_its_options(page: str, typed: str) -> None:
    words = shlex.split(typed.replace("…", "").rstrip("',.:)"))
    command: click.Command = main
    while isinstance(command, click.Group):
        assert words[0] in command.commands, f"no command {words[0]}"
        command = command.commands[words.pop(0)]
    if "[OPTIONS]" not in words:
        command.make_parser(click.Context(command)).parse_args(words)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "aws").glob("*.json")), ids=lambda path: path.stem)
def test_the_commands_of_sagemaker_s_page_fill_every_placeholder(path: Path) -> None:
    page = (ROOT / "docs" / "sagemaker.md").read_text(encoding="utf-8")
    assert f"fill {path.stem}" in page
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"s/([A-Z]+)/\$", page):
        text = text.replace(name, "x")
    assert not re.findall(r"\b[A-Z]{4,}\b", text)


def test_every_file_that_the_pages_name_is_there() -> None:
    for each in READ:
        for target in re.findall(r"\]\(([^)#:]+)\)", each.read_text(encoding="utf-8")):
            assert (each.parent / target).exists(), f"{each.name} names {target}"


def test_every_test_and_script_in_the_evidence_exists() -> None:
    text = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    for file, name in re.findall(r"`(tests/[a-z_]+\.py)(?:::(\w+))?`", text):
        source = (ROOT / file).read_text(encoding="utf-8")
        assert not name or f"def {name}(" in source, f"{file}::{name}"
    for file in re.findall(r"`((?:perf|\.ci|launch)/[\w./]+)`", text):
        assert (ROOT / file).exists(), file


def matrix_examples() -> list[tuple[str, str]]:
    text = (ROOT / "docs" / "matrix.md").read_text(encoding="utf-8")
    return re.findall(r"```yaml\n(.*?)```\n```text\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize(("text", "expected"), matrix_examples())
def test_the_examples_of_the_matrix_s_page_are_true(text: str, expected: str) -> None:
    cells = config.parse(f"name: example\n{text}", Path("example.yaml")).cells
    wanted = expected.splitlines()
    assert [described(cell, line) for cell, line in zip(cells, wanted, strict=False)] == wanted
    assert len(cells) == len(wanted)


def described(cell: config.Cell, line: str) -> str:
    """The cell as ``line`` shows one: what tells it from the others, then in parentheses the keys that the line has."""
    names = re.findall(r"(\w+) [^,)]+", line.partition(" (")[2])
    more = ", ".join(f"{name} {getattr(cell.run, name)}" for name in names)
    return f"{cell.label} ({more})" if more else cell.label


def test_every_yaml_of_the_matrix_s_page_is_an_example() -> None:
    text = (ROOT / "docs" / "matrix.md").read_text(encoding="utf-8")
    assert text.count("```yaml") == len(matrix_examples()) >= 8
