"""How runs are called where people read them: the model, and what tells its configurations apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmark.run import Run, Value
from reports.settings import labels as configuration_labels


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """Run id -> label, such as ``resnet18, lr 1e-3 · seed 0``; with several data sets, theirs too."""
    several = len({run.data_digest for run in runs}) > 1
    settings: dict[str, Mapping[str, Value]] = {run.configuration_id: _settings(run, several) for run in runs}
    names = configuration_labels(settings)
    return {run.run_id: f"{names[run.configuration_id]} · seed {run.seed}" for run in runs}


def _settings(run: Run, several: bool) -> dict[str, Value]:
    keys = run.hyperparameters
    return {"model": keys.pop("model"), **({"data": run.data.label} if several else {}), **keys}
