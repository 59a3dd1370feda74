"""The JSON Schema of an experiment's file, by which editors complete keys, show what they mean, and mark mistakes.

Made from the same dataclasses as the reading.  It is a little more lenient: names of models, what belongs to which
source, and everything that concerns several keys at once is found by ``validate`` only.
"""

from __future__ import annotations

from typing import Any

from benchmark import plugins
from benchmark.aws_settings import AwsSettings
from benchmark.config import sampling, spread
from benchmark.config.axes import CROSSED
from benchmark.config.data_keys import OPTIONS, schema_of_data
from benchmark.config.experiment import LaunchSettings, ReportSettings, SearchSettings, TrackingSettings
from benchmark.config.extending import KEY as EXTENDS
from benchmark.config.keys import Keys, fields_of
from benchmark.config.layer import run_reader
from benchmark.config.problems import Problems
from benchmark.config.sections import Titles
from benchmark.metric_names import RANKABLE

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
JOINED = "^[^,]+(,[^,]+)+$"
"""Keys that vary together: ``lr, weight_decay``."""


def schema() -> Schema:
    """The schema of the whole file."""
    keys = run_reader(None, Problems()).keys
    run = {**_properties(keys), "data": _to("data")}
    return {
        "$schema": DIALECT,
        "title": "an experiment of torch-image-benchmark",
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {
            **_properties(Keys.of("TitleKeys", fields_of(Titles))),
            EXTENDS: {"type": "string", "description": "a YAML file, beside this one, that this one begins with"},
            "data": _to("data"),
            "defaults": {**_to("run"), "description": "keys of every run"},
            "models": {
                "type": "object",
                "additionalProperties": _to("run"),
                "description": "defaults of the models that a name or pattern fits",
            },
            "matrix": {
                "anyOf": [_to("matrix"), {"type": "array", "items": _to("matrix"), "minItems": 1}],
                "description": "the runs: every combination of these axes; of a list of matrices, of each",
            },
            "exclude": {**_list(_to("pattern")), "description": "cells to leave out"},
            "include": {**_list(_to("run")), "description": "further cells"},
            "overrides": {**_list(_override()), "description": "keys to set in the cells that a pattern fits"},
            "launch": _launch(),
            "aws": _section(AwsSettings),
            "tracking": _section(TrackingSettings),
            "report": _report(),
            "search": _section(SearchSettings),
        },
        "$defs": {
            "run": _mapping(run),
            "data": {
                "anyOf": [{"enum": _sources()}, schema_of_data()],
                "description": "where images come from",
            },
            "matrix": _matrix(run, keys),
            "pattern": {**_mapping({name: _alternatives(_key(name)) for name in run}), "minProperties": 1},
        },
    }


def _properties(keys: Keys) -> Schema:
    """Keys with their types, limits and descriptions; a default that is none of them is left out."""
    found: Schema = keys.model.model_json_schema()["properties"]
    for each in found.values():
        each.pop("title", None)
        if each.get("default") is None:
            each.pop("default", None)
    return found


def _to(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _key(name: str) -> Schema:
    return _to(f"run/properties/{name}")


def _mapping(properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _override() -> Schema:
    return {**_mapping({"when": _to("pattern"), "set": _to("run")}), "required": ["when", "set"]}


def _matrix(run: Schema, keys: Keys) -> Schema:
    axes = {name: _axis(name, each, keys) for name, each in run.items()}
    drawn = Keys.of("RandomKeys", fields_of(sampling.Sampling, "samples", "seed"))
    random = {**_mapping(_properties(drawn)), "required": ["samples"], "description": "draw cells at random"}
    joined = {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 2}}
    return {**_mapping({**axes, sampling.KEY: random}), "patternProperties": {JOINED: joined}, "minProperties": 1}


def _axis(name: str, value: Schema, keys: Keys) -> Schema:
    """A value, a list of values or, for numbers, a range."""
    options = [_key(name), {"type": "array", "items": _key(name), "minItems": 1}]
    options += [_range(scale, needs_count=name in CROSSED) for scale in spread.SCALES] if keys.number(name) else []
    return {"anyOf": options, **({"description": value["description"]} if "description" in value else {})}


def _range(scale: str, *, needs_count: bool) -> Schema:
    ends = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    count = {"type": "integer", "minimum": 2, "maximum": spread.MOST_VALUES, "description": "how many values"}
    return {**_mapping({scale: ends, "n": count}), "required": [scale, *(["n"] if needs_count else [])]}


def _alternatives(value: Schema) -> Schema:
    """Text may be a pattern or a comparison."""
    text = {"type": "string"}
    one = [value, text, {"type": "object"}]
    return {"anyOf": [*one, {"type": "array", "items": {"anyOf": one}, "minItems": 1}]}


def _section(kind: type) -> Schema:
    return _mapping(_properties(Keys.of(f"{kind.__name__}Keys", fields_of(kind))))


def _launch() -> Schema:
    """``workers`` may be a mapping of ``count`` and ``start``."""
    properties: Schema = _section(LaunchSettings)["properties"]
    count, start, _ = properties["workers"], properties.pop("start"), properties.pop("aws")
    nested = _mapping({"count": dict(count), "start": start})
    properties["workers"] = {"anyOf": [count, nested], "description": count["description"]}
    return _mapping(properties)


def _sources() -> list[str]:
    return [*OPTIONS, *plugins.found("data")]


def _report() -> Schema:
    section = _section(ReportSettings)
    section["properties"]["primary"] = {**section["properties"]["primary"], "enum": list(RANKABLE)}
    return section
