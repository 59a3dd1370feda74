"""What benchmarks there are, what each says of itself, and running one in a process of its own."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEPT = HERE / "kept"


@dataclass(frozen=True)
class Benchmark:
    """A script; ``loose`` are its options for a machine where other programs run."""

    script: str
    loose: tuple[str, ...] = ()


BENCHMARKS = {
    "start-up": Benchmark("startup.py"),
    "overhead": Benchmark("overhead.py", ("--guard", "12")),
    "unequal": Benchmark("unequal.py", ("--guard", "0.9")),
    "packing": Benchmark("packing.py"),
    "training": Benchmark("training.py", ("--guard", "0.6")),
    "pages": Benchmark("pages.py"),
    "lenet": Benchmark("lenet.py"),
    "policies": Benchmark("policies.py"),
    "evaluation": Benchmark("evaluation.py", ("--guard", "0.15")),
    "memory": Benchmark("memory.py"),
    "larger-than-memory": Benchmark("larger_than_memory.py"),
    "preparing": Benchmark("preparing.py", ("--guard", "0.3")),
    "metrics": Benchmark("metrics.py"),
    "publishing": Benchmark("publishing.py", ("--guard", "4")),
    "report": Benchmark("report.py", ("--guard", "1.5")),
    "leaderboard": Benchmark("leaderboard.py"),
    "scale": Benchmark("scale.py"),
    "gpu": Benchmark("gpu.py"),
}


def text(name: str) -> str:
    """The docstring of its script."""
    found = ast.get_docstring(ast.parse((HERE / BENCHMARKS[name].script).read_text(encoding="utf-8")))
    assert found is not None
    return found


def described(name: str) -> str:
    """The first line of its docstring."""
    return text(name).splitlines()[0]


def run(name: str, out: Path, options: Sequence[str] = ()) -> int:
    """Measures, and writes the figures into ``out``; 1 where a limit is not kept."""
    print(f"== {name}: {described(name)}", flush=True)
    script = HERE / BENCHMARKS[name].script
    command = [sys.executable, str(script), *options, "--json", str(out.resolve() / f"{name}.json")]
    variables = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": str(HERE.parent)}
    return subprocess.run(command, env=variables, check=False).returncode
