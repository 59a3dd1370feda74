"""How runs are called where people read them: the model and the keys that vary, nothing that all share."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.run import Run, Value


def varying(runs: Sequence[Run]) -> tuple[str, ...]:
    """The hyperparameters, model apart, that differ between runs, in the order of :class:`Run`'s fields."""
    seen: dict[str, set[Value]] = {}
    rows = [run.hyperparameters for run in runs]
    for name in dict.fromkeys(name for row in rows for name in row):
        seen[name] = {row.get(name) for row in rows}
    return tuple(name for name, values in seen.items() if len(values) > 1 and name != "model")


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """Run id -> label, such as ``resnet18 · lr 0.001 · seed 0``."""
    names, several_data = varying(runs), len({run.data_digest for run in runs}) > 1
    return {run.run_id: _label(run, names, several_data) for run in runs}


def _label(run: Run, names: Sequence[str], several_data: bool) -> str:
    keys = run.hyperparameters
    parts = [run.model] + [run.data.label] * several_data
    parts += [f"{name} {_short(keys[name])}" for name in names if name in keys]
    return " · ".join([*parts, f"seed {run.seed}"])


def _short(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
