"""Pages of the reference that are made from the code: commands, files, names in MLflow.  `tests/test_docs.py` compares
them with what is in `docs`, and REGENERATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping

import click

from benchmark import mlflow_documents, mlflow_record, rundir
from benchmark.cli import main
from benchmark.data.datasets import DataSpec
from benchmark.errors import CODES
from benchmark.metric_names import METRICS
from benchmark.run import Run

MADE = "Made from the code by `tests/reference.py`."
EXITS = {
    0: "everything that was asked for is done",
    1: "some runs failed, or a gate found a regression; the others stand",
    2: "something in the YAML, the data or the command is wrong; the message says where and what to write instead",
    3: "something on this machine or elsewhere is missing, broken or in use; the message has the remedy",
    4: "incomplete: stopped, out of time or of budget; the same command goes on",
    130: "interrupted",
}
VARIABLES = {
    "TORCH_IMAGE_BENCHMARK_RESIDENT_BYTES": "images of more bytes are read batch by batch; otherwise 30% of the memory",
    "TORCH_IMAGE_BENCHMARK_CACHE": "decoded images, facts of models, weights; otherwise below `~/.cache`",
    "MLFLOW_TRACKING_URI": "a tracking server instead of `./mlflow.db`",
    "BENCHMARK_CHECKPOINT_SECONDS": "between checkpoints within an epoch, about; otherwise a minute",
    "BENCHMARK_CHECKPOINT_SHARE": "between two, so many times what one takes; otherwise 50; 0: after each epoch",
}
RESULTS = {
    "experiment.yaml": "the experiment as it was resolved",
    "trials.json": "the trials that a search with `strategy: optuna` has chosen, beyond those that it drew",
    "journal.db": "what was intended, attempted, found and published (SQLite)",
    "leaderboard.md, .html, .csv, .json": "the leaderboard: to read, to explore, for a spreadsheet, for programs",
    "figures/": "its figures, as SVG",
    "data_card.md, .png": "the data: classes, splits, balance, and some images of each class",
    "lr_range.csv": "what `lr` has found: the loss at each learning rate",
    "exported/": "the networks of `export`",
    "reproduced/RUN/": "what `reproduce` has trained again, one directory each time",
    "output.txt": "what `run --detach` has printed",
    "runs/RUN/": "one directory for each run",
    "lock": "held by the command that works here",
}


def commands() -> str:
    """Every command with its options, the exit codes, the environment."""
    lines = ["# Commands and exit codes", "", f"`python -m benchmark COMMAND`, or `torch-image-benchmark`. {MADE}", ""]
    for name, command in sorted(main.commands.items()):
        lines += list(_command(f"python -m benchmark {name}", command))
    lines += ["## Exit codes", "", "| code | means |", "|--:|---|"]
    lines += [f"| {code} | {words} |" for code, words in EXITS.items()]
    assert set(CODES.values()) <= set(EXITS)
    lines += ["", "## Environment", "", "| variable | is |", "|---|---|"]
    lines += [f"| `{name}` | {words} |" for name, words in VARIABLES.items()]
    return "\n".join(lines) + "\n"


def files() -> str:
    """What lies in the results' directory."""
    layout = inspect.cleandoc(rundir.__doc__ or "").partition("Layout::")[2]
    lines = ["# Files", "", MADE, "", "## `results/EXPERIMENT/`", "", "| file | is |", "|---|---|"]
    lines += [f"| `{name}` | {words} |" for name, words in RESULTS.items()]
    lines += [
        "",
        "## `results/EXPERIMENT/runs/RUN/`",
        "",
        "What a job reads and writes, in every mode. `result.json` is written last: its existence means that the run",
        "succeeded.",
        "",
        "```text",
        inspect.cleandoc(layout),
        "```",
    ]
    return "\n".join(lines) + "\n"


def mlflow_names() -> str:
    """What a run is called and has in MLflow."""
    run = Run(DataSpec(), "lenet5", data_digest="0" * 64, image_size=28, channels=1)
    lines = ["# Names in MLflow", "", MADE, "", inspect.cleandoc(mlflow_record.__doc__ or "").split("\n\n")[-1]]
    lines = [each.replace("``", "`") for each in lines]
    lines += ["", "## Metrics", "", "| in files | in MLflow | better |", "|---|---|:-:|"]
    arrows = {"higher": "↑", "lower": "↓", None: ""}
    for name, metric in METRICS.items():
        lines.append(f"| `{name}` | {_in_mlflow(name)} | {arrows[metric.better]} |")
    lines += ["", "## Parameters", "", ", ".join(f"`{name}`" for name in mlflow_record.params(run)) + "."]
    lines += ["", "## Tags", "", "| tag | is |", "|---|---|"]
    lines += [f"| `{name}` | {words} |" for name, words in TAGS.items()]
    return "\n".join(lines) + "\n"


TAGS = {
    mlflow_record.KIND: "`run`",
    mlflow_record.UUID: "by which the run is found again, so that none is made twice",
    "benchmark.run_id": "the run's id",
    "benchmark.configuration_id": "the same for all seeds of a configuration",
    mlflow_record.STATUS: "running, done or failed",
    mlflow_record.COMMIT: "the digest of the result that MLflow has whole: without it a run does not count",
    mlflow_record.PROFILE: "the same of its speed",
    mlflow_record.FAILURE_TAGS[0]: "why it failed, in a word",
    mlflow_record.FAILURE_TAGS[1]: "and in many",
    "benchmark.environment.…": "versions, processor, device, plug-ins",
    mlflow_documents.RUN: "the run's document",
    mlflow_documents.RESULT: "the result's",
    mlflow_documents.MEASURED: "costs and speed, which are recorded beside it",
}
PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands,
    "files.md": files,
    "mlflow-names.md": mlflow_names,
}


def _in_mlflow(name: str) -> str:
    section, _, rest = name.partition("/")
    if section == "val":
        return f"`{name}` of each epoch; `best/{rest}` of the one whose weights were kept"
    return f"`{name}` of each epoch" if section == "train" else f"`{name}`"


def _command(called: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, each in sorted(command.commands.items()):
            yield from _command(f"{called} {name}", each)
        return
    context = click.Context(command, info_name=called)
    yield from (f"## `{called.removeprefix('python -m benchmark ')}`", "", "```text")
    yield " ".join([called, *command.collect_usage_pieces(context)])
    yield from ("```", "", " ".join(inspect.cleandoc(command.help or "").replace("\b", "").split()), "")
    records = [record for each in command.get_params(context) if (record := each.get_help_record(context))]
    records = [each for each in records if "--help" not in each[0] and each[1]]
    if records:
        yield from ("| option | |", "|---|---|")
        yield from (f"| `{_cell(option)}` | {_cell(words)} |" for option, words in records)
        yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
