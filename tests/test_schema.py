"""The JSON Schema that editors use: what ships is what the code says, and it takes what the reader takes."""

import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from benchmark.config import yaml_text
from benchmark.config.schema import schema

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "benchmark" / "shipped" / "experiment.schema.json"
EXPERIMENTS = [ROOT / "experiments.yaml", *sorted((ROOT / "experiments").glob("*.yaml"))]
PAGES = [ROOT / "README.md", ROOT / "docs" / "matrix.md"]
BLOCKS = [text for page in PAGES for text in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]


def problems(text: str) -> list[str]:
    document: Any = yaml_text.parse(text, "experiments.yaml").value
    found = jsonschema.Draft202012Validator(schema()).iter_errors(document)
    return [f"{each.json_path}: {each.message}" for each in found]


def test_the_shipped_schema_is_what_the_code_says() -> None:
    text = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("REGENERATE_GOLDEN"):
        SHIPPED.write_text(text, encoding="utf-8")
    assert SHIPPED.read_text(encoding="utf-8") == text
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_every_shipped_experiment_names_the_schema_and_fits_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.match(r"# yaml-language-server: \$schema=(.+)\n", text)
    assert named
    assert (path.parent / named[1]).resolve() == SHIPPED
    assert problems(text) == []


@pytest.mark.parametrize("text", BLOCKS)
def test_every_yaml_of_the_pages_fits(text: str) -> None:
    assert problems(text if "name:" in text else f"name: a\n{text}") == []


@pytest.mark.parametrize(
    "text",
    [
        "launch: {workers: {count: 2, start: spawn}, retries: 0}",
        "launch: {workers: auto, timeout: null}",
        "extends: base.yaml",
        "models: {'vit_*': {lr: 1, model_args: {depth: 2}}}",
        "data: {source: folder, path: photos, image_size: 64}",
        "matrix: {model: [a, b], 'lr, epochs': [[1, 2]], data: [digits, {source: synthetic}], random: {samples: 2}}",
        "overrides: [{when: {lr: '> 1', model: [a, 'b*']}, set: {epochs: 2}}]",
        "report: {primary: test/f1_macro}",
    ],
)
def test_what_the_reader_takes_fits(text: str) -> None:
    assert problems(f"name: a\n{text}") == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("epoch: 3", "$"),
        ("defaults: {epochs: 0}", "$.defaults.epochs"),
        ("defaults: {lr: fast}", "$.defaults.lr"),
        ("defaults: {schedule: cosinus}", "$.defaults.schedule"),
        ("matrix: {model: a, lr: []}", "$.matrix"),
        ("matrix: {model: a, seed: {linear: [0, 3]}}", "$.matrix"),
        ("matrix: {model: a, random: {}}", "$.matrix"),
        ("overrides: [{when: {lr: 1}}]", "$.overrides[0]"),
        ("launch: {workers: 0}", "$.launch.workers"),
        ("launch: {start: fork}", "$.launch"),
        ("data: {source: photos}", "$.data"),
        ("report: {primary: test/acuracy}", "$.report.primary"),
    ],
)
def test_what_the_reader_refuses_is_marked_at_its_place(text: str, place: str) -> None:
    assert [each.split(":")[0] for each in problems(f"name: a\n{text}")] == [place]


def test_keys_have_their_descriptions() -> None:
    document = schema()
    run = document["$defs"]["run"]["properties"]
    assert all("description" in each for name, each in run.items() if name not in {"model", "data"})
    assert "description" in document["properties"]["launch"]["properties"]["timeout"]
