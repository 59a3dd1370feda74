"""The benchmarks, by name: `python -m perf [NAME]...`

    python -m perf                      every one, one after the other; nothing else should run meanwhile
    python -m perf metrics start-up     some of them
    python -m perf --list               what there is, and what each measures

Each measures both sides in one go and prints them with their ratio; its figures are kept as JSON in `perf/kept`, or in
another directory (`--out`), with the machine, the versions and the date.  Exit code 1 where a limit is not kept.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCHMARKS = {
    "start-up": "startup.py",
    "metrics": "metrics.py",
    "publishing": "publishing.py",
    "preparing": "preparing.py",
    "scale": "scale.py",
}
"""Name -> its script."""


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m perf", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--list", action="store_true", help="what each measures")
    parser.add_argument("--out", type=Path, default=HERE / "kept", help="the directory of the figures")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - BENCHMARKS.keys()):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if arguments.list:
        print("\n".join(f"{name:12} {described(name)}" for name in BENCHMARKS))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    codes = [run(name, arguments.out) for name in arguments.names or BENCHMARKS]
    return max(codes)


def described(name: str) -> str:
    """The first line of its docstring."""
    text = ast.get_docstring(ast.parse((HERE / BENCHMARKS[name]).read_text(encoding="utf-8")))
    assert text is not None
    return text.splitlines()[0]


def run(name: str, out: Path) -> int:
    """One benchmark in a process of its own."""
    print(f"== {name}: {described(name)}", flush=True)
    command = [sys.executable, str(HERE / BENCHMARKS[name]), "--json", str(out.resolve() / f"{name}.json")]
    variables = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": str(HERE.parent)}
    return subprocess.run(command, env=variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
