"""Jobs for tests: small generated images, the entry script in its own process, what of a result must not differ."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from launch.fast_local import ENTRY, job_environment

SPEC = DataSpec("synthetic", train_size=400, test_size=150, classes=4)


def begin(
    run: Run, data: Path, directory: Path, python: Sequence[str] = (sys.executable,), **variables: str
) -> tuple[subprocess.Popen[str], RunDir]:
    """Starts the entry script, in a directory that may have seen an attempt before."""
    directory.mkdir(parents=True, exist_ok=True)
    rundir = RunDir(directory)
    if not (directory / "run.json").exists():
        rundir.write_run(run)
    # A checkpoint after each epoch, however short, unless the test says otherwise.
    saving = {} if "BENCHMARK_CHECKPOINT_SECONDS" in variables else {"BENCHMARK_CHECKPOINT_SHARE": "0"}
    environment = {**job_environment(run, rundir, rundir.attempt(1), data, os.environ), **saving, **variables}
    process = subprocess.Popen(
        [*python, str(ENTRY)],
        env=environment,
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return process, rundir


def job(
    run: Run, data: Path, directory: Path, python: Sequence[str] = (sys.executable,), **variables: str
) -> tuple[int, RunDir, str]:
    """Runs the entry script to its end: exit code, run directory, log."""
    process, rundir = begin(run, data, directory, python, **variables)
    with process:
        log, _ = process.communicate(timeout=300)
    return process.returncode, rundir, log


def quality(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: value for name, value in metrics.items() if name.split("/")[0] in ("val", "test", "train")}
