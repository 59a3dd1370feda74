"""Memory of N workers of a sweep, against one copy of the decoded images and so much for each worker.

    python perf/memory.py                            2 and 4 workers over 500 MB of decoded images
    python perf/memory.py --images 500 --workers 2

A real sweep, one run and one epoch a worker over generated images of 64 px, whose processes are looked at every half
second: each one's proportional share (PSS of `/proc/PID/smaps_rollup`), so that of a page which several map each has
its part.  The largest sum over the workers is compared with one copy of the images and, for each worker that there was
at that moment, 250 MB and what model, optimizer and activations take: how much a process of its own grows by making the
network and taking one step of training and one of evaluation, after a small one that loads the kernels.  The server
that the workers are forked from, whose share of the imports is no worker's, and the command with what publishes to
MLflow are told apart.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmark.data import datasets
from benchmark.run import DataSpec
from launch import fast_local
from perf.rounds import ROOT
from perf.sides import Figure, Side, finish, parser

EACH = 250e6
"""Bytes that a worker may take beside model, optimizer and activations."""
SIZE, PLANES, CLASSES = 64, 3, 10
YAML = """name: memory
data: {{source: synthetic, train_size: {images}, test_size: 500, size: 64, planes: 3}}
defaults: {{model: {model}, epochs: {epochs}, device: cpu}}
matrix: {{seed: [{seeds}]}}
launch: {{workers: {{count: {workers}, start: fork}}}}
"""
INTERVAL = 0.5
LEARNING = """if True:
    import sys
    from pathlib import Path
    import torch
    from benchmark.run import DataSpec, Run
    from benchmark.training.models import build
    from benchmark.training.optim import make_optimizer
    from benchmark.training.profiling import peak_memory

    model, (size, channels, classes) = sys.argv[1], map(int, sys.argv[2:])
    run = Run(DataSpec("synthetic"), model)

    def steps(batch, larger):
        network = build(model, {}, size, channels, classes).to(memory_format=torch.channels_last)
        optimizer = make_optimizer(run, network)
        images = torch.randn(batch, channels, size, size).to(memory_format=torch.channels_last)
        torch.nn.functional.cross_entropy(network(images), torch.zeros(batch, dtype=torch.int64)).backward()
        optimizer.step()
        with torch.inference_mode():
            network.eval()(torch.randn(larger, channels, size, size).to(memory_format=torch.channels_last))

    steps(2, 2)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again at what is resident now
    before = peak_memory()
    steps(run.batch_size, run.eval_batch_size)
    print(peak_memory() - before)
"""


def main() -> int:
    """Prints lines for each number of workers; 1 where a limit is not kept."""
    options = parser(__doc__, guard="only more than so many times the limit is a failure")
    options.add_argument("--workers", type=int, nargs="+", default=[2, 4])
    options.add_argument("--images", type=int, default=40_000, help="generated for training, 12,288 bytes each")
    options.add_argument("--model", default="lenet5")
    options.add_argument("--epochs", type=int, default=1)
    arguments = options.parse_args()
    figures = []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["TORCH_IMAGE_BENCHMARK_CACHE"] = str(Path(scratch) / "cache")
        data = decoded(arguments.images)
        for workers in arguments.workers:
            yaml = YAML.format(
                images=arguments.images, model=arguments.model, epochs=arguments.epochs, workers=workers,
                seeds=", ".join(map(str, range(workers))),
            )  # fmt: skip
            figures += measure(Path(scratch) / str(workers), yaml, workers, data, arguments.model)
    return finish("memory", figures, arguments.json, times=arguments.guard or 1.0)


def decoded(images: int) -> int:
    """Bytes of the decoded images, which are made here."""
    spec = DataSpec("synthetic", train_size=images, test_size=500, size=SIZE, planes=PLANES)
    datasets.inspect(spec, datasets.cache_directory())
    datasets.prepare(spec, image_size=SIZE, channels=PLANES, resize="crop", cache=datasets.cache_directory())
    return (images + 500) * SIZE * SIZE * PLANES


def measure(home: Path, yaml: str, workers: int, data: int, model: str) -> list[Figure]:
    """The largest sum over one sweep against what it may be, and what is none of the workers'."""
    home.mkdir()
    (home / "memory.yaml").write_text(yaml)
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmark", "run", "memory.yaml"]
    with (home / "log.txt").open("wb") as log:
        sweep = subprocess.Popen(command, cwd=home, env=variables, stdout=log, stderr=log)
    peak = Look(0, 0, 0, 0)
    while sweep.poll() is None:
        peak = max(peak, look(sweep.pid))
        time.sleep(INTERVAL)
    if sweep.returncode:
        raise SystemExit((home / "log.txt").read_text())
    limit = data + peak.processes * (EACH + learning(model))
    what = f"{workers} workers, {peak.processes} at once, {data / 1e6:,.0f} MB of images"
    return [
        Figure(what, "MB", _megabytes("ours", peak.bytes), _megabytes("images, and so much a worker", limit), least=1),
        Figure(f"{workers} workers: the server that they are forked from", "MB", _megabytes("ours", peak.server)),
        Figure(f"{workers} workers: command and publishing", "MB", _megabytes("ours", peak.others)),
    ]


def _megabytes(name: str, size: float) -> Side:
    return Side(name, (size / 1e6,))


def learning(model: str) -> int:
    """Bytes of weights, gradients, AdamW's moments and the activations of a batch."""
    command = [sys.executable, "-c", LEARNING, model, str(SIZE), str(PLANES), str(CLASSES)]
    variables = {**os.environ, **fast_local.ALLOCATOR, **fast_local.threads(1), "PYTHONPATH": str(ROOT)}
    return int(subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout)


@dataclass(frozen=True, order=True)
class Look:
    """Bytes of the workers together, at one moment, and of what else the sweep has started."""

    bytes: int
    server: int
    others: int
    processes: int


def look(root: int) -> Look:
    """At a sweep whose first process this is."""
    everything = _below(root)
    forked = {pid for pid in everything if "fork_server.py" in _read(pid, "cmdline")}  # and the server itself
    server = {pid for pid in forked if _parent(pid) == root}
    workers = forked - server
    shares = [sum(map(_share, each)) for each in (workers, server, everything - forked)]
    return Look(*shares, len(workers))


def _below(root: int) -> set[int]:
    """A process and everything that it has started."""
    pids = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    parents = {pid: _parent(pid) for pid in pids}
    found, new = {root}, {root}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new} - found
        found |= new
    return found


def _parent(pid: int) -> int | None:
    stat = _read(pid, "stat").rpartition(")")[2].split()
    return int(stat[1]) if stat else None


def _share(pid: int) -> int:
    """PSS in bytes."""
    lines = _read(pid, "smaps_rollup").splitlines()
    return next((int(each.split()[1]) * 1024 for each in lines if each.startswith("Pss:")), 0)


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:  # it has ended
        return ""


if __name__ == "__main__":
    sys.exit(main())
