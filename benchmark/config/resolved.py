"""The resolved experiment as YAML: every key of every run, so that a result can be understood without its defaults."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmark.config.experiment import Experiment, SearchSettings
from benchmark.run import RESOLVED, DataSpec, Run

_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
"""Characters that JSON leaves as they are and YAML would refuse or fold."""

TOLD = ("name", "description", "report")


def resolved_yaml(experiment: Experiment, runs: Sequence[Run]) -> str:
    """YAML text of an experiment and its resolved runs, one line each with its id, which :func:`benchmark.config.load`
    reads as the same runs (if it is not longer than it accepts).  What all runs share stands under ``defaults``."""
    documents = [_keys(run) for run in runs]
    shared = _shared(documents)
    lines = [
        "# Written by the benchmark: every key resolved.",
        *(f"# data {run.data.label}: sha256 {run.data_digest}" for run in {run.data: run for run in runs}.values()),
        f"name: {text(experiment.name)}",
        *([f"description: {text(experiment.description)}"] if experiment.description else []),
        "defaults:",
        *(f"  {name}: {text(value)}" for name, value in shared.items()),
        "include:",
        *_includes(runs, documents, shared),
        *(f"{name}: {text(value)}" for name, value in _sections(experiment).items()),
    ]
    return "\n".join(lines) + "\n"


def told(text: str) -> dict[str, Any]:
    """Name, description and ``report`` section of an experiment that :func:`resolved_yaml` wrote, by its lines; its
    runs are in the journal.

    Raises:
        ValueError: a line is no longer what was written.
    """
    lines = (line.partition(": ") for line in text.splitlines())
    return {name: json.loads(value) for name, _, value in lines if name in TOLD}


def _keys(run: Run) -> dict[str, Any]:
    names = (each.name for each in dataclasses.fields(run) if each.name not in {"data", *RESOLVED})
    values = {name: getattr(run, name) for name in names}
    return {"model": values.pop("model"), "seed": values.pop("seed"), "data": _data(run.data), **values}


def _data(spec: DataSpec) -> dict[str, Any]:
    """The source and what differs from its defaults: options of other sources may not be named."""
    changed = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec) if getattr(spec, f.name) != f.default}
    return {"source": spec.source, **changed}


def _shared(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Keys with one value in all runs; the model always stands with its run, and a mapping that differs, since
    mappings of two layers would be merged."""
    first = documents[0] if documents else {}
    same = (name for name in first if all(each[name] == first[name] for each in documents))
    return {name: first[name] for name in same if name not in {"model", "seed"}}


def _includes(runs: Sequence[Run], documents: Sequence[Mapping[str, Any]], shared: Mapping[str, Any]) -> Iterator[str]:
    for run, document in zip(runs, documents, strict=True):
        own = {name: value for name, value in document.items() if name not in shared}
        yield f"  - {text(own)}  # {run.run_id}"


def _sections(experiment: Experiment) -> dict[str, dict[str, Any]]:
    launch = dataclasses.asdict(experiment.launch)
    launch["workers"] = {"count": launch["workers"], "start": launch.pop("start")}
    sections = {"launch": launch, "aws": launch.pop("aws"), "tracking": dataclasses.asdict(experiment.tracking)}
    search = {"search": _search(experiment.search)} if experiment.search.strategy == "halving" else {}
    return {**sections, "report": dataclasses.asdict(experiment.report), **search}


def _search(settings: SearchSettings) -> dict[str, Any]:
    return {"strategy": settings.strategy, "metric": settings.metric, "reduction": settings.reduction}


def text(value: Any) -> str:
    """JSON, which is YAML too."""
    written = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match.group()):04x}", written)
