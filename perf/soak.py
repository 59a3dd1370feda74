"""Half an hour of tiny runs: do memory, open files and threads of the command and of its fork server stay flat?

    python perf/soak.py                      30 minutes
    python perf/soak.py --minutes 3

A real sweep, tracked in MLflow, is looked at each second by way of ``/proc``.  The first tenth is left out (caches
fill; MLflow's own of a thousand runs takes longer).  Then, of memory, the medians of the first and the last third are
compared; of files and threads the highest counts.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_GROWTH = 0.1
"""Of memory, from the first third to the last."""
MORE_HANDLES = 4
"""Files that are open for a moment are seen by chance."""
YAML = """name: soak
data: {source: synthetic, train_size: 300, test_size: 100, classes: 3}
defaults: {model: lenet5, epochs: 3, lr: 3e-3}
matrix: {weight_decay: [0, 0.01], seed: {linear: [0, 9999], n: 10000}}
launch: {workers: 2}
"""


@dataclass(frozen=True)
class Sample:
    """One look at a process: resident bytes of its own, open files, threads."""

    memory: int
    files: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Sample:
        place = Path(f"/proc/{pid}")
        rollup = dict(line.split(":") for line in (place / "smaps_rollup").read_text().splitlines()[1:])
        own = sum(int(rollup[f"Private_{kind}"].split()[0]) for kind in ("Clean", "Dirty"))
        return cls(own * 1024, _count(place / "fd"), _count(place / "task"))


def _count(directory: Path) -> int:
    return sum(1 for _ in directory.iterdir())


def main() -> int:
    """Prints a line a process; 1 where something grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        runs, samples = watch(Path(scratch), arguments.minutes * 60)
    rows = {role: grown(found) for role, found in samples.items()}
    print(f"{runs:,} runs in {arguments.minutes:g} minutes")
    for role, row in rows.items():
        print(f"{role}: {row['memory'][0] / 1e6:.1f} MB, then {row['memory'][1] / 1e6:.1f} MB; ", end="")
        print(f"files {row['files'][0]}, then {row['files'][1]}; threads {row['threads'][0]}, then {row['threads'][1]}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"runs": runs, "minutes": arguments.minutes, **rows}, indent=1))
    return int(any(not is_flat(row) for row in rows.values()) or rows.keys() != {"command", "fork server"})


def watch(home: Path, seconds: float) -> tuple[int, dict[str, list[Sample]]]:
    """Sweeps for so long: how many runs were finished, and what was seen of each process."""
    (home / "experiments.yaml").write_text(YAML)
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    variables |= {"TORCH_IMAGE_BENCHMARK_CACHE": str(home / "cache"), "MLFLOW_TRACKING_URI": ""}
    samples: dict[str, list[Sample]] = defaultdict(list)
    with (home / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmark", "run"], cwd=home, env=variables, stdout=output, stderr=output
        )
    while not finished(home) and process.poll() is None:
        time.sleep(0.2)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit((home / "output.txt").read_text()[-4000:])
        samples["command"].append(Sample.of(process.pid))
        if server := server_of(process.pid):
            samples["fork server"].append(Sample.of(server))
        time.sleep(1)
    runs = finished(home)
    process.send_signal(signal.SIGTERM)
    process.wait()
    return runs, samples


def finished(home: Path) -> int:
    return sum(1 for _ in (home / "results" / "soak" / "runs").glob("*/result.json"))


def server_of(command: int) -> int | None:
    for pid in Path(f"/proc/{command}/task/{command}/children").read_text().split():
        if b"fork_server.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return int(pid)
    return None


def grown(samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    """What -> in the first third, and in the last."""
    settled = samples[len(samples) // 10 :]
    third = len(settled) // 3
    first, last = settled[:third], settled[-third:]
    return {
        "memory": (statistics.median(s.memory for s in first), statistics.median(s.memory for s in last)),
        "files": (max(s.files for s in first), max(s.files for s in last)),
        "threads": (max(s.threads for s in first), max(s.threads for s in last)),
    }


def is_flat(row: dict[str, tuple[float, float]]) -> bool:
    """Whether nothing has grown by more than chance."""
    memory, files, threads = row["memory"], row["files"], row["threads"]
    return memory[1] <= memory[0] * (1 + MOST_GROWTH) and all(
        each[1] <= each[0] + MORE_HANDLES for each in (files, threads)
    )


if __name__ == "__main__":
    sys.exit(main())
